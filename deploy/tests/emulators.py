"""Deploys the templates on AWS emulators, and reads the result back.

moto says CREATE_COMPLETE for a type it does not know and leaves its physical id empty; ministack refuses such a template.
So each template is reduced by exactly the types listed here, and the check fails when the list no longer fits.
"""

import base64
import json
import os
import re
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import boto3
from awscli.customizations.cloudformation.yamlhelper import yaml_parse

from common import Failed, ROOT, expect, free_port, output, program, release, tool, wait_for_port

AWS = ROOT / "deploy/aws"
CLIENTS, VIEWERS = "203.0.113.0/24", "198.51.100.7/32"
SUM = "ab" * 64
UNKNOWN = {
    "moto": {
        "single": {"AWS::CloudWatch::Alarm", "AWS::Logs::MetricFilter"},
        # moto makes the rules into groups but gives them no id; it ignores those out of groups.
        "cluster": {"AWS::CloudWatch::Alarm", "AWS::Logs::MetricFilter", "AWS::EC2::SecurityGroupEgress", "AWS::EC2::SecurityGroupIngress"},
        "managed": {"AWS::CloudWatch::Alarm", "AWS::Logs::MetricFilter", "AWS::EC2::SecurityGroupEgress",
                    "AWS::Cassandra::Keyspace", "AWS::MSK::Cluster", "AWS::MSK::Configuration"},
    },
    "ministack": {
        "single": {"AWS::EC2::EIP", "AWS::EC2::Volume"},
        "cluster": {"AWS::EC2::SecurityGroupEgress", "AWS::EC2::SecurityGroupIngress", "AWS::EC2::Volume"},
        "managed": {"AWS::EC2::SecurityGroupEgress", "AWS::Cassandra::Keyspace", "AWS::MSK::Cluster",
                    "AWS::MSK::Configuration"},
    },
}
MACHINES = {"single": 1, "cluster": 7, "managed": 1}


def parameters(variant):
    given = {"Source": "tape:/data?speed=max", "DashboardCidr": VIEWERS, "SecretsParameter": "tapeline/env"}
    if variant != "managed":
        given |= {"ClientCidr": CLIENTS, "KafkaUrl": "https://example.com/kafka.tgz", "KafkaSha512": SUM}
    if variant == "single":
        given |= {"Store": "cassandra://192.0.2.9:9042/tapeline"}
    if variant == "cluster":
        given |= {"CassandraUrl": "https://example.com/cassandra.tgz", "CassandraSha512": SUM}
    return [f"{name}={value}" for name, value in given.items()]


def template(variant):
    return yaml_parse((AWS / f"{variant}.yaml").read_text())


def reduced(variant, unknown):
    """The template without the types in `unknown`; references to them become literals."""
    whole = template(variant)
    gone = {name for name, resource in whole["Resources"].items() if resource["Type"] in unknown}

    def walk(node):
        if isinstance(node, dict):
            if set(node) == {"Ref"} and node["Ref"] in gone:
                return f"absent-{node['Ref']}"
            if set(node) == {"Fn::GetAtt"}:
                name = node["Fn::GetAtt"][0] if isinstance(node["Fn::GetAtt"], list) else node["Fn::GetAtt"].split(".")[0]
                if name in gone:
                    return f"arn:aws:absent:us-east-1:123456789012:{name}"
            if "DependsOn" in node:
                depends = [node["DependsOn"]] if isinstance(node["DependsOn"], str) else node["DependsOn"]
                node = {**node, "DependsOn": [d for d in depends if d not in gone]}
            return {key: walk(value) for key, value in node.items()}
        if isinstance(node, list):
            return [walk(value) for value in node]
        if isinstance(node, str):
            return re.sub(r"\$\{(\w+)(\.\w+)?\}", lambda m: f"absent-{m[1]}" if m[1] in gone else m[0], node)
        return node

    whole["Resources"] = {name: walk(resource) for name, resource in whole["Resources"].items() if name not in gone}
    whole["Outputs"] = walk(whole["Outputs"])
    return whole


@contextmanager
def emulator(name):
    port = free_port()
    # moto takes a template by URL only if the host is called so.
    environment = {**os.environ, "AWS_ENDPOINT_URL": f"http://localhost:{port}", "AWS_ACCESS_KEY_ID": "test",
                   "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1",
                   "PATH": f"{Path(tool('aws')).parent}:{os.environ['PATH']}"}
    command = [tool("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    if name == "ministack":
        command = [tool("ministack")]
        # It would listen on every address.
        environment |= {"BIND_HOST": "127.0.0.1", "MINISTACK_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/log", "w") as log:
        server = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
        try:
            wait_for_port(port, server)
            environment["EMULATOR_LOG"] = f"{folder}/log"
            yield environment
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)


def client(environment, service):
    return boto3.client(service, endpoint_url=environment["AWS_ENDPOINT_URL"], region_name="us-east-1",
                        aws_access_key_id="test", aws_secret_access_key="test")


def up(environment, variant):
    return output([str(AWS / "tapeline-aws"), "up", variant, "--release", str(release()), *parameters(variant)], env=environment, timeout=300)


def deploy_reduced(environment, name, variant):
    """Deploys what the emulator knows of a variant, with the parameters that `tapeline-aws up` gives."""
    given = [*parameters(variant), "ReleaseBucket=tapeline-test", "ReleaseKey=r.tar.gz", f"ReleaseSha256={SUM[:64]}"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.json"
        path.write_text(json.dumps(reduced(variant, UNKNOWN[name][variant])))
        client(environment, "s3").create_bucket(Bucket="templates")
        output(["aws", "cloudformation", "deploy", "--stack-name", f"tapeline-{variant}", "--template-file", str(path),
                "--s3-bucket", "templates", "--capabilities", "CAPABILITY_IAM", "--parameter-overrides", *given], env=environment, timeout=300)


def physical(environment, variant):
    found = client(environment, "cloudformation").list_stack_resources(StackName=f"tapeline-{variant}")
    return {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in found["StackResourceSummaries"] if r.get("PhysicalResourceId")}


def made(environment, name, variant, resources):
    """Every resource exists, except those of the types this emulator does not know."""
    have = physical(environment, variant)
    without = {r["Type"] for logical, r in resources.items() if logical not in have}
    return have, without


def groups(environment, variant, have):
    """Access is limited to the given ranges and the stack's own groups."""
    ids = [have[n] for n, r in template(variant)["Resources"].items() if r["Type"] == "AWS::EC2::SecurityGroup"]
    doors = set()
    for group in client(environment, "ec2").describe_security_groups(GroupIds=ids)["SecurityGroups"]:
        for rule in group["IpPermissions"]:
            expect(rule["IpProtocol"] == "tcp" and not rule.get("Ipv6Ranges"), f"{variant}: {group['GroupName']} lets in TCP over IPv4")
            for peer in rule["UserIdGroupPairs"]:
                expect(peer["GroupId"] in ids, f"{variant}: port {rule['FromPort']} from a group of the stack")
            doors |= {(rule["FromPort"], rule["ToPort"], r["CidrIp"]) for r in rule["IpRanges"]}
    wanted = {(8080, 8080, VIEWERS)} | ({(9092, 9092, CLIENTS)} if variant != "managed" else set())
    expect(doors == wanted, f"{variant}: open to {sorted(doors)}")


def preamble_of(data, name):
    script = f"# --- user-data.sh: rendered by `cargo xtask deploy-render` ---\n{(AWS / 'user-data.sh').read_text()}# --- end of user-data.sh ---\n"
    expect(data.endswith(script), f"{name}: user data ends with user-data.sh as written")
    expect(len(data) <= 16384, f"{name}: user data has {len(data):,} of 16,384 bytes")
    preamble = data[: -len(script)]
    expect(preamble.startswith("#!/bin/bash\n") and "${" not in preamble, f"{name}: the variables are filled in")
    return preamble


def variables(preamble, *names):
    """The variables that bash sets from the preamble."""
    shown = output(["bash", "-c", preamble + "\n" + "\n".join(f'printf "%s\\0" "${{{n}-}}"' for n in names)])
    return dict(zip(names, shown.split("\0")))


def settings(text, name):
    """Tapeline accepts the settings: with a store that exists it gets as far as counting."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tapeline.toml"
        path.write_text(text)
        run = [program(folder), "--config", str(path), "--store", f"sqlite:{folder}/x.db", "--topic", f"sqlite:{folder}/t.db"]
        output([*run, "init"], cwd=folder)
        output([*run, "count"], cwd=folder)
        path.write_text(text + "\nnonsense = 1\n")
        refused = subprocess.run([*run, "count"], cwd=folder, capture_output=True, text=True)
        expect(refused.returncode != 0 and "nonsense" in refused.stderr, f"{name}: Tapeline accepts the settings, and no unknown one")


def machines(environment, variant):
    ec2 = client(environment, "ec2")
    found = [i for r in ec2.describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["running"]}])["Reservations"]
             for i in r["Instances"] if {"Key": "tapeline:stack", "Value": f"tapeline-{variant}"} in i["Tags"]]
    expect(len(found) == MACHINES[variant], f"{variant}: {len(found)} machines run")
    roles = []
    for machine in found:
        attribute = ec2.describe_instance_attribute(InstanceId=machine["InstanceId"], Attribute="userData")
        data = base64.b64decode(attribute["UserData"]["Value"]).decode()
        preamble = preamble_of(data, f"{variant} {machine['InstanceId']}")
        values = variables(preamble, "ROLE", "RELEASE", "SETTINGS", "VOLUMES", "REGION", "SECRETS", "NODES")
        roles.append(values["ROLE"])
        expect(values["REGION"] == "us-east-1" and values["RELEASE"].startswith("s3://"), f"{values['ROLE']}: region and release")
        if values["SETTINGS"]:
            settings(values["SETTINGS"].replace("@MSK@", "127.0.0.1:9098"), f"{variant} {values['ROLE']}")
        zones = [pair.split("=")[0] for pair in values["VOLUMES"].split()]
        if values["ROLE"] in ("kafka", "cassandra"):
            expect(len(set(zones)) == 3 and machine["Placement"]["AvailabilityZone"] in zones, f"{values['ROLE']}: a disk in each of {zones}")
    return sorted(roles)


def moto():
    with emulator("moto") as environment:
        for variant in ("single", "cluster"):
            print(up(environment, variant))
            resources = template(variant)["Resources"]
            have, without = made(environment, "moto", variant, resources)
            expect(without == UNKNOWN["moto"][variant], f"{variant}: {len(have)} resources made; without a physical id only {sorted(without)}")
            groups(environment, variant, have)
            disks = client(environment, "ec2").describe_volumes(VolumeIds=[have[n] for n, r in resources.items() if r["Type"] == "AWS::EC2::Volume"])["Volumes"]
            # moto drops `Encrypted`; the template itself is asserted in the check `templates`.
            expect({d["State"] for d in disks} <= {"available", "in-use"}, f"{variant}: {len(disks)} disks in {sorted({d['AvailabilityZone'] for d in disks})}")
            roles = machines(environment, variant)
            expect(roles == {"single": ["single"], "cluster": ["cassandra"] * 3 + ["kafka"] * 3 + ["tapeline"]}[variant], f"{variant}: roles {roles}")
        status = output([str(AWS / "tapeline-aws"), "status"], env=environment)
        expect("tapeline-single: CREATE_COMPLETE" in status and "t2.micro" in status, "`tapeline-aws status` shows stacks and machines")
        refusals(environment)
        deploy_reduced(environment, "moto", "managed")
        have, without = made(environment, "moto", "managed", reduced("managed", UNKNOWN["moto"]["managed"])["Resources"])
        expect(not without, f"managed, reduced by {len(UNKNOWN['moto']['managed'])} types: {len(have)} resources made")
        groups(environment, "managed", have)
        expect(machines(environment, "managed") == ["tapeline"], "managed: its machine")


def refusals(environment):
    """Parameters that `tapeline-aws` and the template must reject."""
    for arguments, message in (
        (["up", "nothing"], "expected one of"),
        (["up", "single"], "missing: Source=... Store=... ClientCidr=... DashboardCidr=..."),
        (["up", "single", "Nonsense=1"], "no parameter `Nonsense`"),
        (["up", "single", "--release", "/no/such"], "no file"),
    ):
        run = subprocess.run([str(AWS / "tapeline-aws"), *arguments], env=environment, capture_output=True, text=True)
        expect(run.returncode == 1 and message in run.stderr, f"tapeline-aws {' '.join(arguments)}: {message}")
    for variant in ("single", "cluster", "managed"):
        pattern = template(variant)["Parameters"]["DashboardCidr"]["AllowedPattern"]
        expect(re.fullmatch(pattern, VIEWERS) and not re.fullmatch(pattern, "0.0.0.0/0"), f"{variant}: 0.0.0.0/0 is not a valid range")


def ministack():
    with emulator("ministack") as environment:
        ec2 = client(environment, "ec2")
        before = {v["VpcId"] for v in ec2.describe_vpcs()["Vpcs"]}
        for variant in ("single", "cluster", "managed"):
            resources = reduced(variant, UNKNOWN["ministack"][variant])["Resources"]
            deploy_reduced(environment, "ministack", variant)
            have, without = made(environment, "ministack", variant, resources)
            expect(not without, f"{variant}, reduced by {sorted(UNKNOWN['ministack'][variant])}: {len(have)} resources made")
            if variant == "single":
                groups(environment, variant, have)
                egress = ec2.describe_security_groups(GroupIds=[have["Doors"]])["SecurityGroups"][0]["IpPermissionsEgress"]
                ports = sorted(rule.get("FromPort", -1) for rule in egress)
                expect(ports == [80, 443, 9042], f"single: only ports {ports} lead out")
            alarms = client(environment, "cloudwatch").describe_alarms()["MetricAlarms"]
            wanted = {r["Properties"]["MetricName"] for r in resources.values() if r["Type"] == "AWS::CloudWatch::Alarm"}
            expect({a["MetricName"] for a in alarms} == wanted and all(a["AlarmActions"] for a in alarms), f"{variant}: {len(alarms)} alarms notify somebody: {sorted(wanted)}")
            if variant == "cluster":
                # As the machines do; a zone with records cannot be deleted.
                record = {"Name": "broker-1.tapeline-cluster.tapeline.internal", "Type": "A", "TTL": 30, "ResourceRecords": [{"Value": "10.42.1.9"}]}
                client(environment, "route53").change_resource_record_sets(
                    HostedZoneId=have["Names"], ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]})
            print(output([str(AWS / "tapeline-aws"), "down", variant], env=environment, timeout=120))
            left = {v["VpcId"] for v in ec2.describe_vpcs()["Vpcs"]} - before
            left |= {a["AlarmName"] for a in client(environment, "cloudwatch").describe_alarms()["MetricAlarms"]}
            left |= {z["Name"] for z in client(environment, "route53").list_hosted_zones()["HostedZones"]}
            left |= {g["AutoScalingGroupName"] for g in client(environment, "autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]}
            expect(not left, f"{variant}: nothing is left after `tapeline-aws down` {left or ''}")
