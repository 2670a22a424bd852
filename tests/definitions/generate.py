#!/usr/bin/env python3
"""Writes the published definitions that the tests hold output records against.

    python3 -m venv venv && venv/bin/pip install ocsf-json-schema==1.2.0 pyyaml
    git clone https://github.com/elastic/ecs && git -C ecs checkout v8.17.0
    venv/bin/python tests/definitions/generate.py ecs/generated/ecs/ecs_flat.yml

OCSF: the JSON Schemas of the classes used here, as ocsf-json-schema makes them of the compiled schema 1.8.0, without profiles.
ECS: of each field in the field sets used here what can be checked: its type, whether it is a list, its allowed values.
"""

import json
import pathlib
import sys

import yaml
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

FOLDER = pathlib.Path(__file__).parent
OCSF = "1.8.0"
CLASSES = ["api_activity", "base_event", "data_security_finding"]
FIELD_SETS = ["ecs", "event", "observer", "organization", "related", "rule", "service", "source", "threat", "user", "user_agent"]


def write(name, value):
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    (FOLDER / name).write_text(text + "\n", encoding="utf-8")


def ocsf():
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=OCSF))
    for name in CLASSES:
        write(f"ocsf-{OCSF}-{name}.json", schema.get_class_schema(class_name=name, profiles=[]))


def ecs(path):
    fields = {}
    for name, field in yaml.safe_load(pathlib.Path(path).read_text(encoding="utf-8")).items():
        field_set, dot, _ = name.partition(".")
        if dot and field_set not in FIELD_SETS:
            continue
        kept = {"type": field["type"], "is_list": "array" in field.get("normalize", [])}
        if "allowed_values" in field:
            kept["allowed_values"] = [value["name"] for value in field["allowed_values"]]
        if "pattern" in field:
            kept["pattern"] = field["pattern"]
        fields[name] = kept
    write("ecs-8.17.0.json", fields)


ocsf()
ecs(sys.argv[1])
