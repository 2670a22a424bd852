#!/usr/bin/env bash
#
# zstd loses its dictionary when the minimum match is 7, one step after the value at which the records are smallest.
#
# zstd.h says that larger values of `ZSTD_c_minMatch` are faster and decrease the ratio, and that 7 has the effect of 6
# in all strategies but `fast`. Neither holds with a dictionary, as small records have one:
#
# - At levels 1 to 12, 6 makes audit records of a good kilobyte about a seventh smaller than 4 does, and without a
#   dictionary larger, as documented. The dictionary has a match of four bytes for almost any four hexadecimal digits of
#   an identifier, and the offset of that match costs more than the digits. For inputs of this size zstd itself takes 6
#   at level 1 and 4 at levels 4 to 12, so that level 12 makes larger records than level 1.
# - At 7, in the strategies with a binary tree (here from level 11 on), zstd 1.5.7 fills the tree of the dictionary by
#   hashes of seven bytes (ZSTD_updateTree) and looks them up by hashes of at most six, and so finds next to nothing.
#   There is no error: the records decompress, and take three times as much, as if there were no dictionary.
#
# Whoever raises the value with an eye on the sizes is led to 7, which is best up to level 9, and falls at 11.
#
# Installs PyPI's zstandard 0.25.0, which contains zstd 1.5.7, in a temporary folder; needs python3 with venv and pip.
# Exit status 0: as described; 1: it behaves otherwise now.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check zstandard==0.25.0
cat >sizes.py <<'PY'
import json
import random
import sys
import uuid

import zstandard

LEVELS = (1, 3, 6, 9, 12, 19)
MINIMUM_MATCHES = (None, 4, 6, 7)

draw = random.Random(1)


def guid():
    return str(uuid.UUID(int=draw.getrandbits(128)))


def record():
    """Returns an activity as a SIEM gets it: names that are always the same, and identifiers that are not."""
    user = draw.randrange(200)
    operation = draw.choice(["FileAccessed", "FileModified", "MailItemsAccessed", "UserLoggedIn", "DLPRuleMatch"])
    site = f"https://example.com/sites/team{draw.randrange(50)}"
    time = f"2026-01-01T{draw.randrange(24):02}:{draw.randrange(60):02}:{draw.randrange(60):02}Z"
    address = f"192.0.2.{draw.randrange(256)}"
    object_id = guid()
    raw = {
        "CreationTime": time,
        "Id": guid(),
        "Operation": operation,
        "OrganizationId": "44444444-4444-4444-4444-444444444444",
        "RecordType": draw.randrange(100),
        "UserId": f"user{user}@example.com",
        "UserKey": object_id,
        "UserType": 0,
        "Version": 1,
        "Workload": draw.choice(["SharePoint", "Exchange", "MicrosoftTeams"]),
        "ClientIP": address,
        "CorrelationId": guid(),
        "ListItemUniqueId": guid(),
        "WebId": guid(),
        "SiteUrl": site,
    }
    properties = {
        "ActionType": operation,
        "Application": "Microsoft 365",
        "ApplicationId": 11161,
        "AccountObjectId": guid(),
        "AccountDisplayName": f"User {user}",
        "IsAdminOperation": False,
        "DeviceType": None,
        "OSPlatform": None,
        "IPAddress": address,
        "CountryCode": None,
        "City": None,
        "UserAgent": None,
        "ActivityObjects": [{"Type": "User", "Role": "Actor", "Name": f"User {user}", "Id": object_id}],
        "ObjectName": f"{site}/Shared Documents/report-{draw.randrange(10000)}.docx",
        "ReportId": f"{draw.getrandbits(27)}_11161_{guid()}",
        "RawEventData": raw,
        "Timestamp": time,
    }
    envelope = {"time": time, "category": "AdvancedHunting-CloudAppEvents", "properties": properties}
    return json.dumps(envelope, separators=(",", ":")).encode()


samples = [record() for _ in range(3000)]
records = [record() for _ in range(1000)]
dictionary = zstandard.train_dictionary(112640, samples)


def size(level, minimum_match, with_dictionary):
    """Returns how many bytes the records take in frames of their own, with zstd's own minimum match for None."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level,
        source_size=max(map(len, records)),
        dict_size=len(dictionary) if with_dictionary else 0,
        **({} if minimum_match is None else {"min_match": minimum_match}),
    )
    compressor = zstandard.ZstdCompressor(
        compression_params=parameters, **({"dict_data": dictionary} if with_dictionary else {})
    )
    return sum(len(compressor.compress(one)) for one in records)


print("zstd", ".".join(map(str, zstandard.ZSTD_VERSION)), "of", sum(map(len, records)), "bytes")
found = {}
for with_dictionary in (False, True):
    print("with a dictionary" if with_dictionary else "without a dictionary")
    for level in LEVELS:
        row = {least: size(level, least, with_dictionary) for least in MINIMUM_MATCHES}
        found[with_dictionary, level] = row
        taken = ", ".join(f"{'own' if least is None else least}: {bytes}" for least, bytes in row.items())
        print(f"  level {level}, minimum match {taken}")

as_described = (
    all(found[False, level][6] > found[False, level][4] for level in (1, 3, 6, 9, 12))
    and all(found[True, level][6] < 0.95 * found[True, level][4] for level in (1, 3, 6, 9, 12))
    and found[True, 12][None] > found[True, 1][None]
    and all(found[True, level][7] <= found[True, level][6] for level in (1, 3, 6, 9))
    and all(found[True, level][7] > 0.95 * found[False, level][7] for level in (12, 19))
    and all(found[True, level][7] > 3 * found[True, level][6] for level in (12, 19))
)
sys.exit(0 if as_described else 1)
PY
venv/bin/python sizes.py
