//! `tapeline demo --iot`: two recorded sensors, played by a simulated device into a file that Tapeline follows, or to an
//! MQTT broker that it subscribes to.

use super::folder::{config, leave_settings, remove_old};
use crate::cli::{DIFFERS, DemoOptions, ProduceOptions};
use crate::command::{aggregate, flow, serve, verify};
use crate::context::Context;
use crate::output::thousands;
use crate::print;
use market::UnixNanos;
use ports::cancel::CancelToken;
use ports::error::io;
use ports::gap::Gap;
use ports::source::{Event, Positions, Source};
use ports::telemetry::{Latency, Telemetry};
use ports::{Error, Result};
use simulator::device::{Broker, DeviceLine, Outlet, play};
use sources::iot::mqtt;
use sources::settings::MqttAccount;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tapeline::open;

/// Readings per second: all in a few seconds; less than a broker keeps in its queue for one client in that time.
const RATE: f64 = 500.0;
/// Readings per second with the dashboard: all in two minutes.
const RATE_TO_LOOK_AT: f64 = 25.0;
/// How long nothing may come after the device has sent its last reading.
const QUIET: Duration = Duration::from_secs(1);

/// Sensors by name: a week of a machine's temperature, and a road's mean speed. Origin and licence in data/README.md.
const SENSORS: [(&str, &str); 2] = [
    ("machine.temperature", include_str!("../../../../../data/sensors/machine_temperature.csv")),
    ("road.speed", include_str!("../../../../../data/sensors/speed_7578.csv")),
];

/// What the demo is alerted of: the machine cools down because it has failed, or was shut down.
const RULES: &str = "
[[rules]]
name = 'machine-cold'
kind = 'threshold'
symbols = ['machine.*']
direction = 'down'
threshold = 60
hysteresis = 10
severity = 'critical'
";

/// How a line of the device is read.
const MAPPING: &str = "format=ndjson&feed=demo&series={sensor}&value=value";

pub(super) fn run(context: &Context, options: &DemoOptions, dir: &Path) -> Result<ExitCode> {
    std::fs::create_dir_all(dir).map_err(io("create folder", dir))?;
    remove_old(dir)?;
    let file = dir.join("readings.ndjson");
    if file.exists() {
        std::fs::remove_file(&file).map_err(io("remove", &file))?;
    }
    let lines = lines()?;
    let rate = options.rate.unwrap_or(if options.serve { RATE_TO_LOOK_AT } else { RATE });
    let recorded = format!("lines:{}?{MAPPING}", file.display());
    let account = &context.config.source.mqtt;
    let broker = options.mqtt.as_deref().map(|url| broker(url, account)).transpose()?;
    let (source, outlet) = match &broker {
        Some(broker) => {
            // The broker keeps what is published before the source has connected; the file is what to compare with.
            broker.keep_for_receiver()?;
            play(&lines, &Outlet::File(file.clone()), f64::MAX, &context.stop)?;
            let place = format!("{}/{}", broker.url(), broker.filter());
            (format!("{place}?{MAPPING}&client={}", receiver()), Outlet::Broker(broker.clone()))
        }
        None => {
            std::fs::write(&file, "").map_err(io("write", &file))?;
            (format!("{recorded}&follow=true"), Outlet::File(file.clone()))
        }
    };
    let mut config = config(dir, RULES, &source)?;
    config.source.mqtt = account.clone();
    println!(
        "demo: a week of a machine's temperature and ten days of a road's speed, from a device to the store"
    );
    match &broker {
        Some(broker) => println!("  a simulated device publishes to the MQTT broker {}", broker.url()),
        None => {
            println!("  a simulated device appends to {}; --mqtt URL publishes to a broker", file.display())
        }
    }
    println!("  {} readings, up to {} per second", thousands(lines.len() as u64), thousands(rate as u64));
    println!("  a producer, a topic, a consumer, a store, and bars and an alert on the way");
    let telemetry = Arc::new(Telemetry::default());
    let server = options
        .serve
        .then(|| serve::start(context, &config, &options.listen, Some(Arc::clone(&telemetry))))
        .transpose()?;
    let start = Instant::now();
    let readings = lines.len();
    let device = Device::start(lines, outlet, rate, &context.stop);
    let source = Played::new(open::source(&config)?, &device.finished, readings);
    let outcome =
        flow::through(context, &config, Box::new(source), &ProduceOptions { replay: false }, &telemetry)?;
    device.join()?;
    let time = start.elapsed();
    if let Some(broker) = &broker {
        broker.forget_receiver()?;
    }
    if context.stop.is_cancelled() {
        return Err(Error::user("stopped before the end"));
    }
    flow::summary(&telemetry, time, true);
    aggregate::summary(&telemetry);
    outcome.print();
    // Compares what the device sent with topic and store.
    config.source.url = recorded;
    let proof = verify::Proof::read(context, &config, (UnixNanos(i64::MIN), UnixNanos(i64::MAX)), None)?;
    proof.print();
    print::json(
        || serde_json::json!({ "run": outcome.json(&telemetry, time), "proof": proof.json(), "folder": dir }),
    );
    leave_settings(dir, RULES)?;
    println!(
        "files: {} (store), {} (topic)",
        dir.join("market.db").display(),
        dir.join("topic.db").display()
    );
    println!("next, in the demo's folder, whose tapeline.toml names topic and store:");
    println!("  cd {}", dir.display());
    println!("  tapeline symbols");
    println!("  tapeline query readings machine.temperature --from 2014-02-08 --limit 10");
    println!("  tapeline query reading-bars machine.temperature --interval 1d");
    println!("  tapeline plot machine.temperature --interval 1h --out machine.svg");
    println!("  tapeline alert history");
    if !options.serve {
        println!("  tapeline serve          # then http://127.0.0.1:8787/#/readings");
    }
    serve::until_stopped(context, server)?;
    Ok(if proof.holds() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) })
}

/// Client id of this demo's source: another demo at the same broker has another.
fn receiver() -> String {
    format!("tapeline-demo-{}", std::process::id())
}

/// The broker of a URL, with login and TLS of `[source.mqtt]`.
fn broker(url: &str, settings: &MqttAccount) -> Result<Broker> {
    let broker = Broker::parse(url, &receiver(), &receiver())?;
    let account =
        (!settings.username.is_empty()).then(|| (settings.username.clone(), settings.password.clone()));
    let tls = broker.is_tls().then(|| mqtt::tls_connector(settings)).transpose()?;
    Ok(broker.with_login(account, tls))
}

/// What the device sends, sensor after sensor in order of time. The recordings name no time zone: taken as UTC.
fn lines() -> Result<Vec<DeviceLine>> {
    let mut out = Vec::new();
    for (sensor, csv) in SENSORS {
        for row in csv.lines().skip(1) {
            let (time, value) = row
                .split_once(',')
                .ok_or_else(|| Error::internal(format!("the demo's readings: `{row}`")))?;
            let time = time.replace(' ', "T");
            let payload = format!("{{\"sensor\":\"{sensor}\",\"time\":\"{time}Z\",\"value\":{value}}}");
            out.push(DeviceLine { sensor: sensor.replace('.', "/"), payload });
        }
    }
    Ok(out)
}

/// The simulated device, in a thread of its own; it ends if it is dropped.
struct Device {
    finished: Arc<AtomicBool>,
    stop: CancelToken,
    thread: Option<std::thread::JoinHandle<Result<usize>>>,
}

impl Device {
    fn start(lines: Vec<DeviceLine>, outlet: Outlet, rate: f64, stop: &CancelToken) -> Self {
        let finished = Arc::new(AtomicBool::new(false));
        let (done, stop) = (Arc::clone(&finished), stop.clone());
        let token = stop.clone();
        let thread = std::thread::spawn(move || {
            let played = play(&lines, &outlet, rate, &token);
            // After a failure too: the source ends, and the failure is reported.
            done.store(true, Ordering::Release);
            played
        });
        Self { finished, stop, thread: Some(thread) }
    }

    /// Waits until it has sent everything, or was stopped.
    fn join(mut self) -> Result<usize> {
        let thread = self.thread.take().ok_or_else(|| Error::internal("the device was joined twice"))?;
        thread.join().map_err(|_| Error::internal("the device's thread panicked"))?
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // Not joined: the demo has failed, and everything is to stop.
        if let Some(thread) = self.thread.take() {
            self.stop.cancel();
            let _ = thread.join();
        }
    }
}

/// A source that ends once the device has sent everything and nothing has come for [`QUIET`].
struct Played {
    inner: Box<dyn Source>,
    finished: Arc<AtomicBool>,
    readings: usize,
    last: Instant,
}

impl Played {
    fn new(inner: Box<dyn Source>, finished: &Arc<AtomicBool>, readings: usize) -> Self {
        Self { inner, finished: Arc::clone(finished), readings, last: Instant::now() }
    }
}

impl Source for Played {
    fn resume(&mut self, positions: &Positions) -> Result<u64> {
        self.inner.resume(positions)
    }

    fn needs_gaps(&self) -> bool {
        self.inner.needs_gaps()
    }

    fn resume_gaps(&mut self, gaps: Vec<Gap>) {
        self.inner.resume_gaps(gaps);
    }

    fn next(&mut self, stop: &CancelToken, sink: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<bool> {
        let finished = self.finished.load(Ordering::Acquire);
        let mut any = false;
        let more = self.inner.next(stop, &mut |event| {
            any = true;
            sink(event)
        })?;
        if any || !finished {
            self.last = Instant::now();
        }
        Ok(more && self.last.elapsed() < QUIET)
    }

    fn positions(&mut self) -> Positions {
        self.inner.positions()
    }

    fn has_urgent_positions(&self) -> bool {
        self.inner.has_urgent_positions()
    }

    fn awaits_acknowledgement(&self) -> bool {
        self.inner.awaits_acknowledgement()
    }

    fn acknowledge(&mut self) -> Result<()> {
        self.inner.acknowledge()
    }

    fn incomplete(&self) -> &[String] {
        self.inner.incomplete()
    }

    fn size(&self) -> Option<u64> {
        Some(self.readings as u64)
    }

    fn lag(&mut self, into: &mut Latency) {
        self.inner.lag(into);
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_sensors_are_in_order_and_have_no_reading_twice() {
        let lines = lines().unwrap();
        assert_eq!(lines.len(), 2_016 + 1_127);
        let first = r#"{"sensor":"machine.temperature","time":"2014-02-03T00:00:00Z","value":80.63245002}"#;
        assert_eq!((lines[0].sensor.as_str(), lines[0].payload.as_str()), ("machine/temperature", first));
        let times = |name: &str| -> Vec<&str> {
            let of = lines.iter().filter(|line| line.sensor == name);
            of.map(|line| line.payload.split('"').nth(7).unwrap()).collect()
        };
        for sensor in ["machine/temperature", "road/speed"] {
            let times = times(sensor);
            assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{sensor}");
        }
    }
}
