"""Checks of deploy/ with official tools and emulators; run by `cargo xtask deploy-test [CHECK ...]`."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import emulators
import redshift
import userdata
from common import Failed, ROOT, expect, output, tool

AWS = ROOT / "deploy/aws"


def templates():
    for path in sorted(AWS.glob("*.yaml")):
        output([tool("cfn-lint"), str(path)])
        command = [os.environ["DEPLOY_CHECKOV"], "-f", str(path), "--framework", "cloudformation", "--skip-download", "-o", "json"]
        run = subprocess.run(command, capture_output=True, text=True)
        report = json.loads(run.stdout)
        results = report["results"]
        expect(len(results["passed_checks"]) > 10, f"checkov looked at {path.name}: {report['summary']}")
        failed = [f"{c['check_id']} {c['resource']}" for c in results["failed_checks"]]
        expect(not failed, f"{path.name}: checkov finds nothing unexplained; {failed}")
        used = {c["check_id"] for c in results["skipped_checks"]}
        explained = set(re.findall(r"- id: (CKV\w+)\n\s+comment: \S", path.read_text()))
        unknown_types(path.name, emulators.template(path.stem)["Resources"])
        expect(used == explained, f"{path.name}: explained {sorted(explained)}, needed {sorted(used)}")


def unknown_types(name, resources):
    """Asserts on the template what no emulator supports."""
    def of(kind):
        return [r["Properties"] for r in resources.values() if r["Type"] == kind]

    expect(all(disk["Encrypted"] is True for disk in of("AWS::EC2::Volume")), f"{name}: disks are encrypted")
    for machine in of("AWS::EC2::LaunchTemplate"):
        data = machine["LaunchTemplateData"]
        expect(data["MetadataOptions"]["HttpTokens"] == "required", f"{name}: IMDSv2 only")
        expect(all(d["Ebs"]["Encrypted"] is True for d in data["BlockDeviceMappings"]), f"{name}: system disks are encrypted")
    for role in of("AWS::IAM::Role"):
        for statement in (s for p in role["Policies"] for s in p["PolicyDocument"]["Statement"]):
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            expect(not any("*" in a for a in actions), f"{name}: {statement['Sid']} names its actions")
            free = statement["Resource"] == "*" and "Condition" not in statement
            expect(not free or statement["Sid"] in ("FindVolume", "SessionManager", "Peers"), f"{name}: {statement['Sid']} is bound to a resource or a condition")
    for kind, wanted in {"AWS::EC2::SecurityGroupEgress": "DestinationSecurityGroupId", "AWS::EC2::SecurityGroupIngress": "SourceSecurityGroupId"}.items():
        expect(all(wanted in rule for rule in of(kind)), f"{name}: {kind} only between groups")
    if name != "managed.yaml":
        return
    (cluster,) = of("AWS::MSK::Cluster")
    expect(cluster["ClientAuthentication"] == {"Sasl": {"Iam": {"Enabled": True}}, "Unauthenticated": {"Enabled": False}}, "MSK: IAM only")
    expect(cluster["EncryptionInfo"]["EncryptionInTransit"] == {"ClientBroker": "TLS", "InCluster": True}, "MSK: TLS only")
    expect(cluster["NumberOfBrokerNodes"] % len(cluster["BrokerNodeGroupInfo"]["ClientSubnets"]) == 0, "MSK: as many brokers in each zone")
    (role,) = of("AWS::IAM::Role")
    (tables,) = [s for p in role["Policies"] for s in p["PolicyDocument"]["Statement"] if s["Sid"] == "Tables"]
    expect("cassandra:Create" in tables["Action"], "Keyspaces: `tapeline init` may create the tables")


def units():
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted((ROOT / "deploy/systemd").glob("*.service")):
            # The analyser wants the programs to exist.
            text = re.sub(r"^(Exec\w+=)\S+", r"\1/bin/true", path.read_text(), flags=re.M)
            unit = Path(folder) / path.name
            unit.write_text(text)
            run = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
            # It exits with 0 on an unknown key.
            expect(run.returncode == 0 and not run.stderr.strip(), f"{path.name}: systemd-analyze verify is silent {run.stderr.strip()}")
            score = output(["systemd-analyze", "security", "--offline=yes", str(unit)])
            exposure = float(re.search(r"exposure level for \S+: ([\d.]+)", score)[1])
            expect(exposure <= 2.5, f"{path.name}: exposure {exposure} of 2.5")
        broken = Path(folder) / "broken.service"
        broken.write_text("[Service]\nExecStart=/bin/true\nFooBar=1\n")
        run = subprocess.run(["systemd-analyze", "verify", str(broken)], capture_output=True, text=True)
        expect("FooBar" in run.stderr, "a broken unit is noticed")


def monitoring():
    folder = ROOT / "deploy/monitoring"
    for command in (["promtool", "check", "config", "prometheus.yml"], ["promtool", "check", "rules", "alerts.yml"],
                    ["promtool", "test", "rules", "alerts_test.yml"], ["amtool", "check-config", "alertmanager.yml"]):
        output(command, cwd=folder)
        print("ok:", " ".join(command))
    dashboard = json.loads((folder / "dashboard.json").read_text())
    expressions = [t["expr"] for p in dashboard["panels"] for t in p.get("targets", [])]
    expressions += [a["expr"] for a in dashboard["annotations"]["list"]]
    expect(len(expressions) > 15, f"the dashboard has {len(expressions)} expressions")
    # promtool parses them as recording rules once Grafana's variables are filled in.
    rules = [{"record": f"panel:{i}", "expr": e.replace("$__rate_interval", "1m").replace("$instance", ".*")} for i, e in enumerate(expressions)]
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "dashboard.yml"
        path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
        output(["promtool", "check", "rules", str(path)])
        rules[0]["expr"] += ")"
        path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
        broken = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True)
        expect(broken.returncode != 0, "each expression of the dashboard parses, and a broken one does not")


CHECKS = {
    "templates": templates, "units": units, "monitoring": monitoring, "redshift": redshift.check, "moto": emulators.moto,
    "ministack": emulators.ministack, "userdata": userdata.check,
}


def main():
    names = sys.argv[1:] or list(CHECKS)
    for name in names:
        if name not in CHECKS:
            raise SystemExit(f"error: no check `{name}`; there are {', '.join(CHECKS)}")
    missing = [t for t in ("promtool", "amtool", "systemd-analyze", "debootstrap", "losetup") if not shutil.which(t)]
    if missing:
        raise SystemExit(f"error: missing {', '.join(missing)}\nhint: apt-get install prometheus prometheus-alertmanager systemd debootstrap")
    for name in names:
        print(f"\n== {name}", flush=True)
        try:
            CHECKS[name]()
        except Failed as error:
            raise SystemExit(f"error: {name}: {error}") from None
    print(f"\nall passed: {', '.join(names)}")


if __name__ == "__main__":
    main()
