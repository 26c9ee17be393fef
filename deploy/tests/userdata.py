"""The user data of `single`, run twice in a fresh Debian, and the machine it sets up, used.

Amazon Linux cannot be had here, so the package step takes its apt branch. Real: packages, release, checksums, disk (a loop
device), accounts, settings, units. Stand-ins: S3, SSM and EC2 by moto, the metadata service by a stub. There is no systemd as
PID 1 in the root: units are enabled, and the broker is started by the command of its unit.
"""

import base64
import hashlib
import http.server
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from common import Failed, ROOT, expect, output, release
from emulators import AWS, client, emulator, parameters, preamble_of

TOKEN = "token-of-the-stub"
CLI = "awscli==1.46.3"
SECRET = "APCA_API_KEY_ID=key-of-the-test"


class Metadata(http.server.BaseHTTPRequestHandler):
    """IMDSv2: nothing without a token."""

    answers = {}

    def answer(self, status, text):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def do_PUT(self):
        wanted = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        self.answer(200 if wanted else 400, TOKEN)

    def do_GET(self):
        name = self.path.removeprefix("/latest/meta-data/")
        if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            self.answer(401, "")
        else:
            self.answer(200 if name in self.answers else 404, self.answers.get(name, ""))

    def log_message(self, *_):
        pass


def mirror():
    """The mirror and suite of this machine's own apt."""
    for path in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]:
        text = path.read_text() if path.is_file() else ""
        found = re.search(r"^URIs: (\S+/debian/?)\nSuites: (\w+)", text, re.M) or re.search(r"^deb (?:\[.*\] )?(\S+/debian/?) (\w+) ", text, re.M)
        if found:
            return found[1], found[2]
    raise Failed("no Debian mirror in /etc/apt")


def fresh_root(root):
    """A minimal Debian with what Amazon Linux has on board: systemd, curl, the AWS CLI."""
    cached = ROOT / "target/deploy-root.tar"
    if not cached.exists():
        uri, suite = mirror()
        include = "systemd,curl,ca-certificates,python3-venv,e2fsprogs,diffutils,openssl"
        output(["debootstrap", "--variant=minbase", f"--include={include}", suite, str(root), uri])
        output(["chroot", str(root), "python3", "-m", "venv", "/opt/awscli"])
        # Fetched from outside: the root knows neither this machine's package index nor its certificates.
        version = output(["chroot", str(root), "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).strip()
        output([sys.executable, "-m", "pip", "download", "-q", "--only-binary=:all:", "--python-version", version, "-d", str(root / "opt/awscli/wheels"), CLI])
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
        output(["chroot", str(root), "/opt/awscli/bin/pip", "install", "-q", "--no-index", "--find-links", "/opt/awscli/wheels", CLI], env=environment)
        os.symlink("/opt/awscli/bin/aws", root / "usr/local/bin/aws")
        output(["tar", "-C", str(root), "-cf", f"{cached}.part", "."])
        os.rename(f"{cached}.part", cached)
    else:
        output(["tar", "-C", str(root), "-xf", str(cached)])
    (root / "etc/fstab").write_text("")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")


def snapshot(root):
    """Every file that user data may write, with mode, owner and content."""
    found = {}
    for folder in ("etc", "opt", "usr/lib/sysusers.d", "usr/bin"):
        for path in sorted((root / folder).rglob("*")):
            name = str(path.relative_to(root))
            if "awscli" in name or path.is_dir():
                continue
            status = path.lstat()
            content = os.readlink(path) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            found[name] = (oct(status.st_mode), status.st_uid, status.st_gid, content)
    return found


def kafka_archive(folder):
    """Kafka's published jars in the shape of its tar.gz."""
    path = Path(folder) / "kafka.tgz"
    output(["tar", "-czf", str(path), "--transform", "s,^,kafka/libs/,", "-C", os.environ["DEPLOY_KAFKA_JARS"],
            *sorted(p.name for p in Path(os.environ["DEPLOY_KAFKA_JARS"]).glob("*.jar"))])
    return path


def checksum(path, algorithm):
    return hashlib.file_digest(path.open("rb"), algorithm).hexdigest()


def run_in(root, script, log, netns=False):
    """A script in a mount namespace of its own; what it mounts goes with it."""
    command = ["unshare", "--mount", "--propagation", "private", *(["--net"] if netns else []), "bash", "-euc", script]
    with open(log, "w") as out:
        status = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, timeout=900).returncode
    text = Path(log).read_text()
    if status != 0:
        raise Failed(f"the run in the fresh root exits with {status}:\n{text[-4000:]}")
    return text


def check():
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as folder, emulator("moto") as environment:
        root = Path(folder) / "root"
        root.mkdir()
        fresh_root(root)
        image = Path(folder) / "disk"
        with open(image, "wb") as file:
            file.truncate(512 << 20)
        loop = output(["losetup", "--find", "--show", str(image)]).strip()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            machine(folder, root, loop, environment, server.server_port)
        finally:
            server.shutdown()
            subprocess.run(["losetup", "--detach", loop], check=True)


def machine(folder, root, loop, environment, imds):
    ec2, s3 = client(environment, "ec2"), client(environment, "s3")
    s3.create_bucket(Bucket="releases")
    kafka = kafka_archive(folder)
    s3.upload_file(str(release()), "releases", "tapeline.tar.gz")
    s3.upload_file(str(kafka), "releases", "kafka.tgz")
    client(environment, "ssm").put_parameter(Name="/tapeline/env", Type="SecureString", Value=SECRET)
    given = dict(p.split("=", 1) for p in parameters("single"))
    given |= {"ReleaseBucket": "releases", "ReleaseKey": "tapeline.tar.gz", "ReleaseSha256": checksum(release(), "sha256"),
              "KafkaUrl": "s3://releases/kafka.tgz", "KafkaSha512": checksum(kafka, "sha512")}
    output(["aws", "cloudformation", "deploy", "--stack-name", "tapeline-single", "--template-file", str(AWS / "single.yaml"),
            "--capabilities", "CAPABILITY_IAM", "--parameter-overrides", *(f"{k}={v}" for k, v in given.items())], env=environment)
    found = ec2.describe_instances()["Reservations"][0]["Instances"][0]
    data = base64.b64decode(ec2.describe_instance_attribute(InstanceId=found["InstanceId"], Attribute="userData")["UserData"]["Value"]).decode()
    preamble_of(data, "single")
    (root / "user-data").write_text(data)
    Metadata.answers = {"instance-id": found["InstanceId"], "placement/availability-zone": found["Placement"]["AvailabilityZone"],
                        "local-ipv4": "127.0.0.1"}
    variables = f"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin AWS_ENDPOINT_URL={environment['AWS_ENDPOINT_URL']} "
    # Without systemd as PID 1, systemctl enables units and ignores the rest.
    variables += f"SYSTEMD_OFFLINE=1 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test IMDS=http://127.0.0.1:{imds} DISK={loop}"
    mounts = f"mount -t proc proc {root}/proc; mount --rbind /dev {root}/dev; "
    boot = f"{mounts} chroot {root} env -i {variables} bash /user-data"
    first = run_in(root, boot, f"{folder}/first.log")
    expect("finished with status 0" in first and "/etc/kafka/kafka.env" in first.split("changed:")[1], "user data runs to its end in a fresh Debian")
    before, uuid = snapshot(root), output(["blkid", "-p", "-s", "UUID", "-o", "value", loop])
    run_in(root, f"mount {loop} {root}/mnt; echo kept > {root}/mnt/marker", f"{folder}/mark.log")
    second = run_in(root, boot, f"{folder}/second.log")
    expect("changed: nothing" in second, "run again it changes nothing")
    after = snapshot(root)
    different = sorted(n for n in before | after if before.get(n) != after.get(n) and not n.startswith("etc/apt"))
    expect(not different, f"and all {len(before):,} files are the same {different}")
    kept = run_in(root, f"mount {loop} {root}/mnt; cat {root}/mnt/marker", f"{folder}/mark.log")
    expect(output(["blkid", "-p", "-s", "UUID", "-o", "value", loop]) == uuid and "kept" in kept, "and the disk keeps its data")
    looks(root)
    wrong_checksum(folder, root, boot, data)
    use(folder, root, loop, mounts)


def looks(root):
    for name in ("etc/tapeline/tapeline.env", "etc/kafka/kafka.env"):
        status = (root / name).stat()
        expect(status.st_mode & 0o777 == 0o600 and status.st_uid == 0, f"/{name} belongs to root and nobody else reads it")
    expect(SECRET in (root / "etc/tapeline/tapeline.env").read_text(), "the secret is in tapeline.env")
    enabled = sorted(p.name for p in (root / "etc/systemd/system/multi-user.target.wants").glob("*") if "tapeline" in p.name or "kafka" in p.name)
    expect(enabled == ["kafka.service", "tapeline-run.service", "tapeline-serve.service"], f"enabled: {enabled}")
    expect((root / "etc/fstab").read_text().count("/var/lib/kafka") == 1, "the disk is once in /etc/fstab")


def wrong_checksum(folder, root, boot, data):
    """A changed release is refused."""
    (root / "user-data").write_text(re.sub(r"RELEASE_SHA256='\w{4}", "RELEASE_SHA256='0000", data))
    try:
        run_in(root, boot, f"{folder}/wrong.log")
    except Failed as error:
        expect("checksum of s3://releases/tapeline.tar.gz: expected 0000" in str(error), "a release with another checksum is refused")
    else:
        raise Failed("a release with another checksum was installed")
    (root / "user-data").write_text(data)


def command(root, unit, key):
    return re.search(rf"^{key}=(.+)$", (root / f"etc/systemd/system/{unit}.service").read_text(), re.M)[1]


def use(folder, root, loop, mounts):
    """Starts the broker as its unit does, in a network of its own, and sends a tape through it."""
    tape = root / "data"
    shutil.copytree(ROOT / "data/us-equities", tape, dirs_exist_ok=True)
    run = "TAPELINE_CONFIG=/etc/tapeline/tapeline.toml /usr/bin/tapeline --store sqlite:/tmp/store.db --source 'tape:/data?speed=max'"
    inside = f"""
# systemd expands no patterns either.
set -euo pipefail -f
set -a; . /etc/kafka/kafka.env.quoted; set +a
install -d -o kafka -g kafka /var/lib/kafka
as_kafka() {{ setpriv --reuid kafka --regid kafka --clear-groups "$@"; }}
as_kafka {command(root, "kafka", "ExecStartPre")} >/tmp/format.log 2>&1 || {{ cat /tmp/format.log; exit 1; }}
# `exec`, so that $! is the broker and not a shell.
(exec setpriv --reuid kafka --regid kafka --clear-groups {command(root, "kafka", "ExecStart")} >/tmp/kafka.log 2>&1) &
broker=$!
{run} --wait 90 init || {{ tail -50 /tmp/kafka.log; exit 1; }}
# The unit's own policy, Restart=on-failure and RestartSec=5: right after init a broker may not show the last topic yet.
restarts=0
until {run} run; do
  restarts=$((restarts + 1)); [ $restarts -lt 4 ] || exit 1
  sleep {command(root, "tapeline-run", "RestartSec")}
done
echo "restarts: $restarts"
{run} verify
echo "RSS of the broker: $(awk '/VmHWM/ {{print int($2 / 1024)}}' /proc/$broker/status) MiB"
kill $broker; wait $broker || true
"""
    # systemd reads the file itself; a shell wants quotes.
    quoted = re.sub(r"^(\w+)=(.*)$", r"\1='\2'", (root / "etc/kafka/kafka.env").read_text(), flags=re.M)
    (root / "etc/kafka/kafka.env.quoted").write_text(quoted)
    (root / "use").write_text(inside)
    script = f"{mounts} ip link set lo up; mkdir -p {root}/var/lib/kafka; mount {loop} {root}/var/lib/kafka; chroot {root} bash /use"
    text = run_in(root, script, f"{folder}/use.log", netns=True)
    print("\n".join(text.splitlines()[-30:]))
    expect("verified" in text and "NOT verified" not in text, "a tape goes through the broker that user data set up, and verify finds all of it")
    peak = int(re.search(r"RSS of the broker: (\d+) MiB", text)[1])
    expect(100 < peak < 400, f"the broker's memory peaks at {peak} MiB")
