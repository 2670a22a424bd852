"""The data sets: generated once, correlated once, loaded once for each broker."""

import json
import re
import subprocess

from .machine import die, log

# The options that all sets have in common. There are no re-deliveries, no broken messages, no later versions of alerts, and one record in each
# message, so that a plain SQL join gives the same pairs. Half of the policies raise alerts, two each, and an hour has some 90 open windows.
COMMON = {
    "seed": 1, "policies": 5_000, "policy-skew": 0, "span": "7d", "window-min": "10m", "window-max": "12h", "disorder": "2m",
    "duplicates": 0, "malformed": 0, "alert-updates": 0, "zero-windows": 0, "batch-max": 1, "envelope": "streaming",
}
# --in-window-share is a share of the activities with a key. --record-size is chosen so that an activity has 2.65 KB in its envelope: activities
# with a key are larger than the others, so it differs between the sets.
SETS = {
    "a": {"keyed-share": 0.03, "in-window-share": 0.3333, "record-size": 2375},
    "b": {"keyed-share": 0.39, "in-window-share": 0.2564, "record-size": 2010},
    "c": {"keyed-share": 1, "in-window-share": 0.1, "record-size": 1510},
    # As b, but one policy has half of all activities with a key and half of the alerts. Windows are shorter, so that the output is about as large.
    "hot": {
        "keyed-share": 0.39, "in-window-share": 0.19, "record-size": 2010, "policy-skew": 1.73, "window-min": "1m", "window-max": "12m",
    },
}
PARTITIONS = 4
ALERTS_PER_ACTIVITY = 0.005
KEY = re.compile(rb'\bcid\\*"\s*:\s*\\*"[^"\\]')


class DataSet:
    """`name` is the name of a set, optionally with a number of partitions: b/64."""

    def __init__(self, name, activities, work):
        self.name = name
        name, _, partitions = name.partition("/")
        self.partitions = int(partitions or PARTITIONS)
        self.folder = work / f"data-{name}-{activities}"
        self.activities = self.folder / "cloudappevents.jsonl"
        self.alerts = self.folder / "securityalert.jsonl"
        self.pairs = self.folder / "pairs.txt"
        options = {**COMMON, **SETS[name], "activities": activities, "alerts": round(activities * ALERTS_PER_ACTIVITY)}
        self.options = [argument for name, value in options.items() for argument in (f"--{name}", str(value))]
        self.facts = {}
        self.prefix = f"peers-in-{name}-{self.partitions}-"
        self.topics = {"activities": f"{self.prefix}activities", "alerts": f"{self.prefix}alerts"}

    def create(self, alerttrail, tools):
        """Generates the files, and computes the expected pairs with `alerttrail correlate`."""
        stamp = self.folder / "facts.json"
        if stamp.exists():
            self.facts = json.loads(stamp.read_text())
            if self.facts["options"] == self.options:
                return
            stamp.unlink()
        log(f"data {self.name}: generating {' '.join(self.options)}")
        self.folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([alerttrail, "generate", *self.options, "--output", self.folder], check=True)
        rows = self.folder / "rows.jsonl"
        inputs = [self.activities, self.alerts]
        subprocess.run([alerttrail, "correlate", "--input", *inputs, "--output", rows, "--temp-dir", self.folder], check=True)
        found = tools.call("pairs", "--input", rows, "--output", self.pairs, "--form", "rows")
        rows.unlink()
        if found["records"] != found["pairs"]:
            die(f"data {self.name}: {found['records']} rows are {found['pairs']} pairs: RawEventData.Id is no identity here")
        self.facts = {"options": self.options, "pairs": found["pairs"], **self.count()}
        stamp.write_text(json.dumps(self.facts))
        log(f"data {self.name}: {self.facts}")

    def count(self):
        activities = keyed = size = keyed_size = 0
        with open(self.activities, "rb") as lines:
            for line in lines:
                activities += 1
                size += len(line) - 1
                if KEY.search(line):
                    keyed += 1
                    keyed_size += len(line) - 1
        with open(self.alerts, "rb") as lines:
            alerts = sum(1 for _ in lines)
        return {"activities": activities, "bytes": size, "keyed": keyed, "keyed_bytes": keyed_size, "alerts": alerts}

    def load(self, tools, bootstrap):
        """Loads the files into topics: the same messages into the same partitions every time."""
        log(f"data {self.name}: loading topics")
        tools.call("topics", "--bootstrap", bootstrap, "--create", *self.topics.values(), "--partitions", self.partitions)
        for topic, file in ((self.topics["activities"], self.activities), (self.topics["alerts"], self.alerts)):
            tools.call("load", "--bootstrap", bootstrap, "--topic", topic, "--file", file, "--partitions", self.partitions)
