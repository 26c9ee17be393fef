#!/bin/bash
# Sets up a Tapeline machine: first boot and every repeat. The CloudFormation templates put the variables in front of it:
#   ROLE        single (broker and Tapeline), kafka, cassandra or tapeline
#   STACK REGION RESOURCE            for signals: resource of the stack that waits for this machine; @ becomes the node's number
#   RELEASE RELEASE_SHA256           Tapeline's tar.gz: s3:// or https://
#   SERVER SERVER_SHA512             Kafka's or Cassandra's tar.gz (libs/ or bin/ in its first folder)
#   CLUSTER_SEED DOMAIN NODES        what the cluster id is made of; node names NAME-1.DOMAIN to NAME-NODES.DOMAIN
#   VOLUMES     ZONE=VOLUME ...      data disk of each zone; the position of the own zone is the node's number
#   ADDRESS ADDRESS_ID               Elastic IP and its allocation, if there is one
#   ZONE_ID                          Route 53 zone to register in, if there is one
#   SECRETS                          SSM parameter (without its first slash) with lines KEY=VALUE, if there is one
#   SETTINGS SERVE                   tapeline.toml; options of `tapeline serve`
#   MSK                              cluster whose brokers replace @MSK@ in SETTINGS, if there is one
#   LOG_GROUP METRICS                CloudWatch log group and metric namespace
# Tests set IMDS, AWS_ENDPOINT_URL and DISK.
# shellcheck disable=SC2153,SC2094
set -euo pipefail
export AWS_DEFAULT_REGION=$REGION AWS_PAGER=
IMDS=${IMDS:-http://169.254.169.254}
CHANGED='' NODE=0

step() { echo "tapeline: $*"; }
fail() { echo "tapeline: error: $*" >&2; exit 1; }

# Reports the result to CloudFormation. On a replaced machine no stack waits, and a refusal does not matter.
finish() {
  local status=$?
  if [ -n "${INSTANCE:-}" ]; then
    aws cloudformation signal-resource --stack-name "$STACK" --logical-resource-id "${RESOURCE/@/$NODE}" --unique-id "$INSTANCE" \
      --status "$([ $status = 0 ] && echo SUCCESS || echo FAILURE)" 2>/dev/null || true
  fi
  step "finished with status $status"
  exit $status
}
trap finish EXIT

retry() { # SECONDS COMMAND...: until it succeeds
  local end=$((SECONDS + $1)); shift
  until "$@"; do
    [ $SECONDS -lt $end ] || fail "gave up: $*"
    sleep 5
  done
}

metadata() {
  local token
  token=$(curl -sSf -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$IMDS/latest/api/token") &&
    curl -sSf -m 5 -H "X-aws-ec2-metadata-token: $token" "$IMDS/latest/meta-data/$1"
}

packages() { # names as dnf = names as apt, separated by `--`
  local dnf=() apt=() list=dnf name
  for name; do
    if [ "$name" = -- ]; then list=apt; elif [ $list = dnf ]; then dnf+=("$name"); else apt+=("$name"); fi
  done
  if command -v dnf >/dev/null; then
    retry 300 dnf install -y -q "${dnf[@]}"
  elif command -v apt-get >/dev/null; then
    retry 300 apt-get update -q
    retry 300 env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${apt[@]}"
  else
    fail "expected dnf or apt-get, found neither"
  fi
}

put() { # FILE MODE: standard input becomes the file, if it differs. Not in a pipeline, whose CHANGED would be lost.
  local new=$1.new
  (umask 077; cat >"$new")
  chmod "$2" "$new"
  if cmp -s "$new" "$1" && [ "$(stat -c %a "$1")" = "$((10#$2))" ]; then
    rm "$new"
  else
    mv "$new" "$1"
    CHANGED="$CHANGED $1"
    step "wrote $1"
  fi
}

fetch() { # URL ALGORITHM CHECKSUM FILE
  if [ -e "$4" ] && echo "$3  $4" | "${2}sum" --status -c; then return; fi
  case $1 in
    s3://*) retry 120 aws s3 cp --only-show-errors "$1" "$4.part" ;;
    https://*) retry 120 curl -sSfL -m 600 -o "$4.part" "$1" ;;
    *) fail "expected s3:// or https://, found $1" ;;
  esac
  echo "$3  $4.part" | "${2}sum" --status -c || fail "checksum of $1: expected $3, found $("${2}sum" <"$4.part" | cut -d' ' -f1)"
  mv "$4.part" "$4"
}

unpack() { # FILE NAME: into a folder of its own, and the link /opt/NAME to it
  local folder
  folder=/opt/$2-$(sha256sum "$1" | cut -c1-12)
  if [ ! -d "$folder" ]; then
    rm -rf "$folder.part" && mkdir "$folder.part"
    tar -xzf "$1" -C "$folder.part" --strip-components=1 --no-same-owner
    mv "$folder.part" "$folder"
  fi
  if [ "$(readlink "/opt/$2" || true)" != "$folder" ]; then
    ln -sfn "$folder" "/opt/$2"
    CHANGED="$CHANGED /opt/$2"
  fi
}

# Attaches the zone's volume. A machine that was just replaced may hold it for minutes.
attach() {
  local holder
  holder=$(aws ec2 describe-volumes --volume-ids "$VOLUME" --query 'Volumes[0].Attachments[0].InstanceId' --output text)
  [ "$holder" = "$INSTANCE" ] ||
    aws ec2 attach-volume --volume-id "$VOLUME" --instance-id "$INSTANCE" --device /dev/sdf >/dev/null
}

device() {
  DISK=${DISK:-}
  local name
  for name in $DISK "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${VOLUME/-/}" /dev/sdf /dev/xvdf; do
    if [ -b "$name" ]; then DISK=$(readlink -f "$name"); return; fi
  done
  return 1
}

disk() { # FOLDER
  step "disk $VOLUME on $1"
  retry 600 attach
  retry 120 device
  # Only a disk without any file system is new.
  blkid -p "$DISK" >/dev/null || mkfs.ext4 -q -L tapeline "$DISK"
  mkdir -p "$1"
  local uuid
  uuid=$(blkid -p -s UUID -o value "$DISK")
  grep -q "$uuid" /etc/fstab || echo "UUID=$uuid $1 ext4 noatime,nofail 0 2" >>/etc/fstab
  mountpoint -q "$1" || mount "$DISK" "$1"
}

names() { # NAME PORT [PREFIX-WITH-NUMBER]: NAME-1.DOMAIN:PORT,... or 1@NAME-1.DOMAIN:PORT,...
  local n list=''
  for n in $(seq "$NODES"); do list="$list,${3:+$n@}$1-$n.$DOMAIN$2"; done
  echo "${list:1}"
}

register() { # NAME: the own address in the private zone
  step "name $1.$DOMAIN"
  retry 120 aws route53 change-resource-record-sets --hosted-zone-id "$ZONE_ID" --change-batch \
    "{\"Changes\":[{\"Action\":\"UPSERT\",\"ResourceRecordSet\":{\"Name\":\"$1.$DOMAIN\",\"Type\":\"A\",\"TTL\":30,\"ResourceRecords\":[{\"Value\":\"$IP\"}]}}]}" >/dev/null
}

kafka() {
  step "Kafka"
  fetch "$SERVER" sha512 "$SERVER_SHA512" /opt/kafka.tar.gz
  unpack /opt/kafka.tar.gz kafka
  mkdir -p /etc/kafka
  local memory heap listeners advertised voters
  memory=$(awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
  if [ "$memory" -lt 2048 ]; then
    heap="-Xmx96m -XX:+UseSerialGC -Xss512k -XX:MaxMetaspaceSize=96m -XX:ReservedCodeCacheSize=48m"
  else
    heap="-Xmx$((memory / 4 < 4096 ? memory / 4 : 4096))m -XX:+UseG1GC"
  fi
  put /etc/kafka/kafka.env 600 <<EOF
KAFKA_CLUSTER_ID=$(printf %s "$CLUSTER_SEED" | openssl dgst -md5 -binary | base64 | tr '+/' '-_' | tr -d =)
KAFKA_JVM=$heap
EOF
  if [ "$ROLE" = single ]; then
    listeners=LOCAL://127.0.0.1:9094,CLIENTS://:9092,CONTROLLER://127.0.0.1:9093
    advertised=LOCAL://127.0.0.1:9094,CLIENTS://$ADDRESS:9092
    voters=1@127.0.0.1:9093
  else
    listeners=LOCAL://:9092,CONTROLLER://:9093
    advertised=LOCAL://broker-$NODE.$DOMAIN:9092
    voters=$(names broker :9093 number)
  fi
  put /etc/kafka/server.properties 644 <<EOF
process.roles=broker,controller
node.id=$NODE
broker.rack=$ZONE
controller.quorum.voters=$voters
listeners=$listeners
advertised.listeners=$advertised
inter.broker.listener.name=LOCAL
controller.listener.names=CONTROLLER
listener.security.protocol.map=LOCAL:PLAINTEXT,CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=/var/lib/kafka/data
log.retention.hours=168
log.cleaner.dedupe.buffer.size=4194304
auto.create.topics.enable=false
default.replication.factor=$NODES
min.insync.replicas=$((NODES > 1 ? 2 : 1))
offsets.topic.replication.factor=$NODES
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=$NODES
transaction.state.log.min.isr=$((NODES > 1 ? 2 : 1))
share.coordinator.state.topic.replication.factor=$NODES
share.coordinator.state.topic.min.isr=$((NODES > 1 ? 2 : 1))
EOF
}

cassandra() {
  step "Cassandra"
  fetch "$SERVER" sha512 "$SERVER_SHA512" /opt/cassandra.tar.gz
  unpack /opt/cassandra.tar.gz cassandra
  mkdir -p /etc/cassandra
  cp -n /opt/cassandra/conf/* /etc/cassandra/ 2>/dev/null || true
  put /etc/cassandra/cassandra-rackdc.properties 644 <<<"dc=$REGION
rack=$ZONE"
  put /etc/cassandra/cassandra.yaml 644 <<EOF
cluster_name: $STACK
num_tokens: 16
allocate_tokens_for_local_replication_factor: 3
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: GossipingPropertyFileSnitch
listen_address: $IP
rpc_address: $IP
native_transport_port: 9042
storage_port: 7000
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "cassandra-1.$DOMAIN,cassandra-2.$DOMAIN"
commitlog_sync: periodic
commitlog_sync_period: 10000ms
data_file_directories: [/var/lib/cassandra/data]
commitlog_directory: /var/lib/cassandra/commitlog
saved_caches_directory: /var/lib/cassandra/saved_caches
hints_directory: /var/lib/cassandra/hints
cdc_raw_directory: /var/lib/cassandra/cdc_raw
storage_compatibility_mode: NONE
sstable:
  selected_format: bti
memtable:
  configurations:
    trie:
      class_name: TrieMemtable
    default:
      inherits: trie
EOF
}

tapeline() {
  step "settings"
  local brokers
  case $SETTINGS in
    *@MSK@*)
      brokers=$(aws kafka get-bootstrap-brokers --cluster-arn "$MSK" --query BootstrapBrokerStringSaslIam --output text)
      SETTINGS=${SETTINGS//@MSK@/$brokers} ;;
  esac
  install -d -m 750 -g tapeline /etc/tapeline
  put /etc/tapeline/tapeline.toml 644 <<<"$SETTINGS"
  local secrets=
  if [ -n "${SECRETS:-}" ]; then
    secrets=$(aws ssm get-parameter --with-decryption --name "/$SECRETS" --query Parameter.Value --output text) ||
      fail "cannot read the SSM parameter /$SECRETS: create it (docs/aws.md, step 3)"
  fi
  put /etc/tapeline/tapeline.env 600 <<<"TAPELINE_SERVE_OPTIONS=${SERVE:-}
$secrets"
}

# Logs and two metrics to CloudWatch. The agent is a package of Amazon Linux; elsewhere only its settings are written.
watch() { # UNIT...
  local unit list='' folder=/opt/aws/amazon-cloudwatch-agent/etc
  mkdir -p /var/log/tapeline "$folder"
  for unit; do
    mkdir -p "/etc/systemd/system/$unit.service.d"
    put "/etc/systemd/system/$unit.service.d/log.conf" 644 <<<"[Service]
StandardOutput=append:/var/log/tapeline/$unit.log
StandardError=inherit"
    list="$list,{\"file_path\":\"/var/log/tapeline/$unit.log\",\"log_group_name\":\"$LOG_GROUP\",\"log_stream_name\":\"$unit/{instance_id}\"}"
  done
  list="$list,{\"file_path\":\"/var/log/cloud-init-output.log\",\"log_group_name\":\"$LOG_GROUP\",\"log_stream_name\":\"boot/{instance_id}\"}"
  put /etc/logrotate.d/tapeline 644 <<<'/var/log/tapeline/*.log {
  size 20M
  rotate 3
  compress
  copytruncate
  missingok
}'
  put $folder/tapeline.json 644 <<EOF
{"agent":{"metrics_collection_interval":60,"omit_hostname":true},
"logs":{"logs_collected":{"files":{"collect_list":[${list:1}]}}},
"metrics":{"namespace":"$METRICS","metrics_collected":{"mem":{"measurement":["mem_used_percent"]},
"disk":{"measurement":["used_percent"],"resources":["$DATA"],"drop_device":true}}}}
EOF
  local agent=/opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl
  if [ -x $agent ]; then $agent -a fetch-config -m ec2 -s -c file:$folder/tapeline.json; fi
}

main() {
  INSTANCE=$(metadata instance-id) || fail "the instance metadata service does not answer"
  ZONE=$(metadata placement/availability-zone)
  IP=$(metadata local-ipv4)
  VOLUME=''
  local n=0 pair
  for pair in $VOLUMES; do
    n=$((n + 1))
    if [ "${pair%%=*}" = "$ZONE" ]; then NODE=$n VOLUME=${pair#*=}; fi
  done
  [ "$ROLE" = tapeline ] || [ -n "$VOLUME" ] || fail "no data disk for zone $ZONE in: $VOLUMES"
  step "$ROLE, node $NODE, $INSTANCE in $ZONE"

  packages java-17-amazon-corretto-headless amazon-cloudwatch-agent logrotate tar \
    -- openjdk-17-jre-headless logrotate tar openssl
  step "release"
  fetch "$RELEASE" sha256 "$RELEASE_SHA256" /opt/tapeline.tar.gz
  unpack /opt/tapeline.tar.gz tapeline
  ln -sfn /opt/tapeline/bin/tapeline /usr/bin/tapeline
  mkdir -p /usr/lib/sysusers.d
  put /usr/lib/sysusers.d/tapeline.conf 644 </opt/tapeline/systemd/tapeline.sysusers
  systemd-sysusers
  local unit units=''
  for unit in /opt/tapeline/systemd/*.service; do put "/etc/systemd/system/$(basename "$unit")" 644 <"$unit"; done

  case $ROLE in
    single) DATA=/var/lib/kafka; disk $DATA; kafka; tapeline; units="kafka tapeline-run tapeline-serve" ;;
    kafka) DATA=/var/lib/kafka; disk $DATA; register "broker-$NODE"; kafka; units=kafka ;;
    cassandra) DATA=/var/lib/cassandra; disk $DATA; register "cassandra-$NODE"; cassandra; units=cassandra ;;
    tapeline) DATA=/; tapeline; units="tapeline-run tapeline-serve" ;;
    *) fail "expected the role single, kafka, cassandra or tapeline, found $ROLE" ;;
  esac
  if [ -n "${ADDRESS_ID:-}" ]; then
    retry 120 aws ec2 associate-address --allocation-id "$ADDRESS_ID" --instance-id "$INSTANCE" --allow-reassociation >/dev/null
  fi
  # shellcheck disable=SC2086
  watch $units
  step "changed:${CHANGED:- nothing}"
  systemctl daemon-reload
  # shellcheck disable=SC2086
  systemctl enable $units
  # shellcheck disable=SC2086
  if [ -n "$CHANGED" ]; then systemctl restart $units; else systemctl start $units; fi
}

main
