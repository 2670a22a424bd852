"""How each contender is started. Its tuning is here, and in its own program."""

import re
import subprocess
import sys
from pathlib import Path

from .machine import cores, die, log

HERE = Path(__file__).resolve().parent.parent
# The longest window of an alert, which all peers must know in advance.
WINDOW = "PT12H"

CONFIGURATION = """\
[application]
id = "{id}"
[kafka]
bootstrap_servers = "{bootstrap}"
[input]
topics = ["{activities}", "{alerts}"]
[repartition]
partitions = 4
[watermark]
# More than the data's disorder of 2 minutes. The end of the data is closed by the clock, when every partition has been idle for this long.
out_of_orderness = "{out_of_orderness}"
idle_timeout = "{idle_timeout}"
[state]
dir = "{state}"
# The data covers 7 days.
retention = "30d"
[output]
topic = "{output}"
delivery = "{delivery}"
dead_letter_topic = "{id}-dead"
[http]
listen = ""
"""


class Task:
    """One run of one contender: its input, its output, and its folder."""

    def __init__(self, run_id, data, bootstrap, folder, options, delivery):
        self.id = run_id
        self.data = data
        self.bootstrap = bootstrap
        self.folder = folder
        self.state = folder / "state"
        self.output = f"{run_id}-output"
        self.options = options
        self.delivery = delivery


def alerttrail(task):
    path = task.folder / "alerttrail.toml"
    path.write_text(CONFIGURATION.format(
        id=task.id, bootstrap=task.bootstrap, state=task.state, output=task.output, delivery=task.delivery,
        out_of_orderness=task.options.out_of_orderness, idle_timeout=task.options.idle_timeout, **task.data.topics,
    ))
    return [task.options.binary, "run", "--config", path]


def baseline(task):
    return [task.options.baseline, *alerttrail(task)[1:]]


def java(peer, main, heap, task, **settings):
    classes = HERE / peer / "target"
    properties = {
        **task.data.topics, "output": task.output, "bootstrap": task.bootstrap, "application": task.id, "state": task.state,
        "threads": len(cores()), "org.slf4j.simpleLogger.defaultLogLevel": "warn", **settings,
    }
    options = [f"-D{name}={value}" for name, value in properties.items()]
    opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("java.lang", "java.util", "java.time", "java.net", "java.nio")]
    return ["java", f"-Xmx{heap}", *opened, *options, "-cp", f"{classes / 'classes'}:{classes / 'lib'}/*", main]


def streams(task, grace=None):
    guarantee = {"at_least_once": "at_least_once", "exactly_once": "exactly_once_v2"}[task.delivery]
    rows = str(task.options.rows).lower()
    return java("streams", "alerttrail.peer.Streams", "1g", task, window=WINDOW, grace=grace or task.options.grace, guarantee=guarantee, rows=rows)


def streams_short(task):
    return streams(task, task.options.short_grace)


def flink(task):
    checkpoint = {"at_least_once": "10 s", "exactly_once": "1 s"}[task.delivery]
    return java("flink", "alerttrail.peer.Flink", "2g", task, guarantee=task.delivery, checkpoint=checkpoint)


def floor(task):
    return [task.options.tools.path, "floor", "--bootstrap", task.bootstrap, "--topics", *task.data.topics.values()]


def correlate(task, name):
    inputs = [task.data.activities, task.data.alerts]
    binary = {"correlate": task.options.binary, "correlate-baseline": task.options.baseline}[name]
    return [binary, "correlate", "--input", *inputs, "--output", task.folder / "out.jsonl", "--temp-dir", task.folder]


def duckdb(task, threads, name):
    arguments = [task.data.activities, task.data.alerts, task.folder / "out.jsonl", "--threads", threads, "--temp", task.folder]
    form = {"duckdb": [], "duckdb-typed": ["--typed"], "duckdb-rows": ["--rows"]}[name]
    return [task.options.python, HERE / "duckdb" / "correlate.py", *arguments, *form]


# The contenders over topics, with the form of their output.
OVER_TOPICS = {
    "alerttrail": (alerttrail, "rows"),
    "baseline": (baseline, "rows"),
    "streams": (streams, "pairs"),
    "streams-short": (streams_short, "pairs"),
    "flink": (flink, "pairs"),
}
OVER_FILES = {"correlate": "rows", "correlate-baseline": "rows", "duckdb": "pairs", "duckdb-typed": "pairs", "duckdb-rows": "pairs"}
FLOORS = ["floor", "floor-through"]
ALL = [*FLOORS, *OVER_TOPICS, *OVER_FILES]


def build_java(peer):
    target = HERE / peer / "target"
    sources = [HERE / peer / "pom.xml", *(HERE / peer / "src").rglob("*.java"), *(HERE / "common").rglob("*.java")]
    stamp = target / "built"
    if stamp.exists() and stamp.stat().st_mtime > max(source.stat().st_mtime for source in sources):
        return
    log(f"building {peer} with Maven; the first time it fetches the libraries")
    subprocess.run(["mvn", "--batch-mode", "--quiet", "-Dstyle.color=never", "--file", HERE / peer / "pom.xml", "package"], check=True)
    stamp.touch()


def python_with_duckdb(work):
    """A Python that has DuckDB: this one, or one in a folder of its own, where it is installed."""
    requirement = (HERE / "duckdb" / "requirements.txt").read_text().strip()
    version = re.sub(".*==", "", requirement)
    for python in (sys.executable, work / "venv" / "bin" / "python"):
        test = f"import duckdb; assert duckdb.__version__ == '{version}'"
        if Path(python).exists() and subprocess.run([python, "-c", test], stderr=subprocess.DEVNULL).returncode == 0:
            return python
    log(f"installing {requirement} in {work / 'venv'}")
    subprocess.run([sys.executable, "-m", "venv", work / "venv"], check=True)
    subprocess.run([work / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet", requirement], check=True)
    return work / "venv" / "bin" / "python"


def check_names(names, known, kind):
    for name in names:
        if name not in known:
            die(f"there is no {kind} named {name}: choose from {', '.join(known)}")
    return names
