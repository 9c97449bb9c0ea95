//! One run against one target: connect, load or warm up, measure, and take the server's CPU time around it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use repligo_proto::resp::encode_request;

use super::choice::Chooser;
use super::dataset::Dataset;
use super::engine::{self, Ended, Share};
use super::options::{Extent, Settings, Target, Workload};
use super::plan::{Plan, Work, Written};
use super::progress::{Phase, Progress, line};
use super::schedule::Schedule;
use super::server::{self, BenchError, Server};
use super::tally::{Live, Tally};
use crate::cli::signals::StopFlag;
use crate::cli::tls::Stream;

/// What each client has in flight while keys are loaded: requests, and about so many bytes.
const LOAD_PIPELINE: usize = 64;
const LOAD_BYTES: usize = 256 << 10;
/// How often the state of a run is looked at, and its progress shown.
const LOOK: Duration = Duration::from_millis(20);

/// A server with what is known of its keys; it lives through all runs against it.
pub struct Bench<'a> {
    pub settings: &'a Settings,
    pub target: &'a Target,
    pub server: Server,
    pub dataset: Dataset,
    pub written: Written,
    pub stop: &'a StopFlag,
    chooser: Chooser,
    addresses: Vec<SocketAddr>,
}

/// What one run has measured.
pub struct Measurement {
    pub tally: Tally,
    /// From the beginning of the measured part to its last reply.
    pub seconds: f64,
    /// Of the server's processes meanwhile.
    pub cpu_seconds: Option<f64>,
    /// Of this process meanwhile.
    pub generator_cpu_seconds: Option<f64>,
    pub interrupted: bool,
    pub gave_up: bool,
}

impl<'a> Bench<'a> {
    /// Asks the server what it is.
    ///
    /// # Errors
    /// It cannot be used; with a remedy.
    pub fn new(
        settings: &'a Settings,
        target: &'a Target,
        stop: &'a StopFlag,
    ) -> Result<Bench<'a>, BenchError> {
        let (server, addresses) = server::inspect(target)?;
        let dataset =
            Dataset::new(settings).map_err(|text| BenchError::new(text, "run: repligo bench --help"))?;
        Ok(Bench {
            settings,
            target,
            server,
            dataset,
            written: Written::new(settings.keys),
            stop,
            chooser: Chooser::new(settings.keys, settings.distribution),
            addresses,
        })
    }

    /// Measures once.
    ///
    /// # Errors
    /// The server cannot be used; with a remedy.
    pub fn measure(&self, progress: &mut Progress) -> Result<Measurement, BenchError> {
        let settings = self.settings;
        let schedule = settings.rate.map(|rate| Schedule::new(rate, settings.clients));
        let (measure_start_ns, end_ns) = span(settings, schedule.as_ref());
        let quota = match settings.extent {
            Extent::Requests(count) if schedule.is_none() => Some(count),
            _ => None,
        };
        let reads = match settings.workload {
            Workload::Get => 1 << 32,
            Workload::Set => 0,
            Workload::Mixed { reads_percent } => (u64::from(reads_percent) << 32) / 100,
        };
        let plan = Plan {
            pipeline: settings.pipeline as usize,
            wait_replicas: settings.wait_replicas,
            schedule,
            measure_start_ns,
            end_ns,
            interval_ns: settings.timeline_ms.map(|length| length * 1_000_000),
            ..self.plan(Work::Drawn { reads })
        };
        self.drive(&plan, quota, progress)
    }

    /// Writes every key once.
    ///
    /// # Errors
    /// As [`Bench::measure`].
    pub fn fill(&self, progress: &mut Progress) -> Result<Measurement, BenchError> {
        self.drive(&self.plan(Work::Fill(AtomicU64::new(0))), None, progress)
    }

    /// What measuring and loading have in common; the rest is as loading wants it.
    fn plan(&self, work: Work) -> Plan<'_> {
        let mut greeting = Vec::new();
        let mut greeting_replies = 0;
        for words in self.greeting() {
            encode_request(&mut greeting, &words);
            greeting_replies += 1;
        }
        Plan {
            dataset: &self.dataset,
            chooser: &self.chooser,
            written: &self.written,
            addresses: &self.addresses,
            target: self.target,
            stop: self.stop,
            work,
            pipeline: (LOAD_BYTES / self.dataset.request_bytes()).clamp(1, LOAD_PIPELINE),
            seed: self.settings.seed,
            schedule: None,
            greeting,
            greeting_replies,
            timeout_ns: match self.settings.timeout_ms {
                0 => u64::MAX,
                milliseconds => milliseconds.saturating_mul(1_000_000),
            },
            wait_replicas: None,
            allow_missing: self.settings.allow_missing,
            measure_start_ns: 0,
            end_ns: u64::MAX,
            interval_ns: None,
            live: Live::default(),
        }
    }

    /// What every connection says first.
    fn greeting(&self) -> Vec<Vec<&str>> {
        let mut greeting = Vec::new();
        if let Some(password) = &self.target.password {
            let user = self.target.user.iter().map(String::as_str);
            greeting.push(
                ["AUTH"]
                    .into_iter()
                    .chain(user)
                    .chain([password.as_str()])
                    .collect(),
            );
        }
        if self.settings.readonly {
            greeting.push(vec!["READONLY"]);
        }
        greeting
    }

    /// Connects all clients of a thread.
    fn connect(&self, first: u32, count: u32) -> Result<Vec<(Stream, usize)>, BenchError> {
        let mut streams = Vec::with_capacity(count as usize);
        for number in first..first + count {
            let position = if self.settings.spread {
                number as usize % self.addresses.len()
            } else {
                0
            };
            let address = &self.target.addresses[position];
            let failed = |error| server::explain(address, &error);
            let mut connection = server::open(address, self.target)?;
            for words in self.greeting().iter().filter(|words| words[0] != "AUTH") {
                connection.expect(words).map_err(failed)?;
            }
            let stream = connection.into_stream().map_err(|error| failed(error.into()))?;
            streams.push((stream, position));
        }
        Ok(streams)
    }

    fn drive(
        &self,
        plan: &Plan,
        quota: Option<u64>,
        progress: &mut Progress,
    ) -> Result<Measurement, BenchError> {
        let threads = self.settings.threads;
        let mut shares = Vec::new();
        for thread in 0..threads {
            let part = |of: u64, index: u64| of * index / u64::from(threads);
            let (from, to) = (u64::from(thread), u64::from(thread) + 1);
            let clients = u64::from(self.settings.clients);
            let (first, next) = (part(clients, from) as u32, part(clients, to) as u32);
            shares.push(Share {
                first,
                streams: self.connect(first, next - first)?,
                quota: quota.map(|quota| part(quota, to) - part(quota, from)),
            });
        }
        let epoch = Instant::now();
        let mut cpu = CpuClock::new(&self.server.cpu_pids);
        let ended: Vec<std::io::Result<Ended>> = std::thread::scope(|scope| {
            let running: Vec<_> = shares
                .into_iter()
                .map(|share| scope.spawn(move || engine::run(plan, share, epoch)))
                .collect();
            watch(plan, quota, epoch, &mut cpu, progress, &|| {
                running.iter().all(|thread| thread.is_finished())
            });
            running
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|_| Err(std::io::Error::other("a thread panicked")))
                })
                .collect()
        });
        let (cpu_seconds, generator_cpu_seconds) = cpu.stop();
        progress.clear();
        let mut tally = Tally::new(plan.measure_start_ns, plan.interval_ns);
        let mut gave_up = false;
        for ended in ended {
            let ended =
                ended.map_err(|error| BenchError::new(format!("epoll: {error}"), "free file descriptors"))?;
            gave_up |= ended.gave_up;
            tally.merge(ended.tally);
        }
        Ok(Measurement {
            seconds: tally.last_reply_ns.saturating_sub(plan.measure_start_ns) as f64 / 1e9,
            tally,
            cpu_seconds,
            generator_cpu_seconds,
            interrupted: self.stop.is_set(),
            gave_up,
        })
    }
}

/// Begin and end of the measured part, in nanoseconds since the run began.
fn span(settings: &Settings, schedule: Option<&Schedule>) -> (u64, u64) {
    let nanoseconds = |seconds: f64| (seconds * 1e9) as u64;
    let warmup_ns = nanoseconds(settings.warmup_seconds);
    match (settings.extent, schedule) {
        // Between two requests of the schedule, so that exactly those that were asked for are measured.
        (extent, Some(schedule)) => {
            let first = schedule.count(settings.warmup_seconds);
            let count = match extent {
                Extent::Seconds(seconds) => schedule.count(seconds).max(1),
                Extent::Requests(count) => count,
            };
            (schedule.at_ns(first), schedule.at_ns(first + count))
        }
        (Extent::Seconds(seconds), None) => (warmup_ns, warmup_ns + nanoseconds(seconds)),
        (Extent::Requests(_), None) => (warmup_ns, u64::MAX),
    }
}

/// Shows progress and starts the CPU clock when the measured part begins, until the threads have ended.
fn watch(
    plan: &Plan,
    quota: Option<u64>,
    epoch: Instant,
    cpu: &mut CpuClock,
    progress: &mut Progress,
    is_done: &dyn Fn() -> bool,
) {
    while !is_done() {
        let now_ns = epoch.elapsed().as_nanos() as u64;
        let to_start_ns = plan.measure_start_ns.saturating_sub(now_ns);
        if to_start_ns == 0 {
            cpu.start();
        }
        let ops = plan.live.ops.load(Ordering::Relaxed);
        let phase = Phase {
            is_load: matches!(plan.work, Work::Fill(_)),
            now_ns,
            start_ns: plan.measure_start_ns,
            end_ns: plan.end_ns,
            ops,
            ops_total: match plan.work {
                Work::Fill(_) => Some(plan.written.keys()),
                Work::Drawn { .. } => quota,
            },
            errors: plan.live.errors.load(Ordering::Relaxed),
            wrong: plan.live.wrong.load(Ordering::Relaxed),
        };
        progress.show(|| line(&phase));
        let pause = if to_start_ns == 0 {
            LOOK
        } else {
            LOOK.min(Duration::from_nanos(to_start_ns))
        };
        std::thread::sleep(pause);
    }
}

/// CPU time of the server and of this process over the measured part.
struct CpuClock<'a> {
    pids: &'a [u32],
    started: Option<(Option<f64>, Option<f64>)>,
}

impl CpuClock<'_> {
    fn new(pids: &[u32]) -> CpuClock<'_> {
        CpuClock { pids, started: None }
    }

    fn sample(&self) -> (Option<f64>, Option<f64>) {
        let own = [std::process::id()];
        (server::cpu_seconds(self.pids), server::cpu_seconds(&own))
    }

    /// Only the first call counts.
    fn start(&mut self) {
        if self.started.is_none() {
            self.started = Some(self.sample());
        }
    }

    fn stop(&self) -> (Option<f64>, Option<f64>) {
        let now = self.sample();
        // Both are whole ticks; what a subtraction leaves below a millisecond is noise.
        let since = |now: Option<f64>, then: Option<f64>| Some(((now? - then?) * 1e3).round() / 1e3);
        match self.started {
            Some(then) => (since(now.0, then.0), since(now.1, then.1)),
            None => (None, None),
        }
    }
}
