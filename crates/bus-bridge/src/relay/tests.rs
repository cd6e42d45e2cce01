use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use bus::{BusExt as _, Capabilities, Delivery, Error, Link, MemoryBus, State, Subscription};
use log_entry::{Level, Levels};
use logging_api::{
    DASHBOARD_LOG, LOG_REPEAT, LOGGING_COMMAND, LOGGING_STATUS, LoggingStatus, SET_GLOBAL_LEVEL,
};
use serde_json::json;
use standard_service::{
    Announcement, SERVICE_READY, SERVICE_STARTING, SERVICE_STATUS_REQUEST, SERVICE_STATUS_UPDATE,
    Tasks,
};
use tokio::time::{interval, timeout};

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

/// The deployment's bus, which can be away.
#[derive(Default)]
struct Remote {
    bus: MemoryBus,
    is_away: AtomicBool,
    reconnects: AtomicU64,
}

impl Remote {
    fn goes(&self) {
        self.is_away.store(true, Ordering::Relaxed);
    }

    fn comes(&self) {
        self.is_away.store(false, Ordering::Relaxed);
    }

    fn comes_back(&self) {
        self.comes();
        self.reconnects.fetch_add(1, Ordering::Relaxed);
    }

    fn expect(&self, topic: &str) -> Result<(), Error> {
        let topic = topic.to_owned();
        if self.is_away.load(Ordering::Relaxed) {
            Err(Error::Disconnected { topic })
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl Bus for Remote {
    async fn publish(&self, event: Event) -> Result<(), Error> {
        self.expect(&event.topic)?;
        self.bus.publish(event).await
    }

    async fn subscribe(&self, topic: &str, capacity: NonZeroUsize) -> Result<Subscription, Error> {
        self.expect(topic)?;
        self.bus.subscribe(topic, capacity).await
    }

    fn capabilities(&self) -> Capabilities {
        self.bus.capabilities()
    }

    fn state(&self) -> State {
        let away = Link::Disconnected { since: SystemTime::UNIX_EPOCH, attempts: 1 };
        let state = self.bus.state();
        State {
            link: if self.is_away.load(Ordering::Relaxed) { away } else { state.link },
            reconnects: self.reconnects.load(Ordering::Relaxed),
            ..state
        }
    }

    async fn flush(&self) -> Result<(), Error> {
        self.bus.flush().await
    }

    async fn close(&self) -> Result<(), Error> {
        self.bus.close().await
    }
}

/// A program with a relay.
struct Program {
    local: MemoryBus,
    handle: RelayHandle,
    tasks: Tasks,
}

impl Program {
    /// A program whose relay hears both sides.
    async fn running(name: &str, remote: &Arc<Remote>, is_collecting: bool) -> Self {
        let before = remote.state().subscriptions;
        let program = Self::started(name, remote, is_collecting).await;
        let topics = if is_collecting { WITH_REPEATS.len() } else { TOPICS.len() };
        until(|| remote.state().subscriptions == before + topics).await;
        program
    }

    async fn started(name: &str, remote: &Arc<Remote>, is_collecting: bool) -> Self {
        let local = MemoryBus::default();
        let (here, there) = (Arc::new(local.clone()), remote.clone());
        let relay = Relay::subscribe(here, there, name.into()).await.unwrap();
        let relay = if is_collecting { relay.collecting() } else { relay };
        let (handle, tasks) = (relay.handle(), Tasks::default());
        tasks.spawn("relay", |cancelled| relay.run(cancelled));
        Self { local, handle, tasks }
    }

    async fn says(&self, service: &str) {
        let status = json!({"service_name": service, "status": "RUNNING", "message": service});
        let event = Event::new(SERVICE_STATUS_UPDATE.name(), status.to_string());
        self.local.publish(event).await.unwrap();
    }
}

/// Waits until something holds, and looks often.
async fn until(holds: impl Fn() -> bool) {
    let mut look = interval(Duration::from_millis(1));
    let holding = async {
        while !holds() {
            look.tick().await;
        }
    };
    timeout(DEADLINE, holding).await.unwrap();
}

async fn hear(events: &mut Subscription) -> Event {
    match timeout(DEADLINE, events.recv()).await.unwrap().unwrap() {
        Delivery::Event(event) => event,
        Delivery::Missed(count) => panic!("{count} missed"),
    }
}

async fn ears(bus: &dyn Bus, topic: &str) -> Subscription {
    bus.subscribe(topic, room(1000)).await.unwrap()
}

fn service_of(event: &Event) -> String {
    SERVICE_STATUS_UPDATE.decode(event).unwrap().service_name
}

#[tokio::test]
async fn others_hear_what_we_say_and_whose_it_is() {
    let remote = Arc::new(Remote::default());
    let program = Program::running("r3x-1", &remote, false).await;
    for topic in [
        SERVICE_STARTING.name(),
        SERVICE_READY.name(),
        SERVICE_STATUS_UPDATE.name(),
        LOGGING_STATUS.name(),
        LOG_REPEAT.name(),
    ] {
        let mut heard = ears(&*remote, topic).await;
        let said = Event::new(topic, format!("{{\"on\": \"{topic}\"}}"));
        program.local.publish(said.clone()).await.unwrap();
        let heard = hear(&mut heard).await;
        assert_eq!(heard, said.with_header(ORIGIN, "r3x-1"));
    }
    assert_eq!(program.handle.counts().outward, 5);
}

#[tokio::test]
async fn of_the_dashboards_lines_only_those_go_out_that_end_a_window() {
    let remote = Arc::new(Remote::default());
    let program = Program::running("r3x-1", &remote, false).await;
    let mut heard = ears(&*remote, DASHBOARD_LOG.name()).await;
    let line = |message: &str, repeats: u64| {
        json!({"timestamp": "", "level": "INFO", "service": "", "message": message,
               "session_id": "cantina-session-20261122-160357", "entry_id": "1", "severity": 20,
               "seq": 1, "service_key": "", "repeats": repeats})
    };
    // Not as our writer writes it, so that it has to be read.
    let odd = line("also an entry", 0).to_string().replace("\"repeats\":0", "\"repeats\": 0");
    let entry: logging_api::DashboardLog = serde_json::from_value(line("entry", 0)).unwrap();
    let ours = DASHBOARD_LOG.encode(&entry).unwrap().payload;
    assert!(ours.ends_with(br#""repeats":0}"#), "this is what is passed over unread");
    for payload in [ours, odd.into(), "no line".into(), line("3 times", 3).to_string().into()] {
        program.local.publish(Event::new(DASHBOARD_LOG.name(), payload)).await.unwrap();
    }
    let first = DASHBOARD_LOG.decode(&hear(&mut heard).await).unwrap();
    assert_eq!((first.message.as_str(), first.repeats), ("3 times", 3));
}

#[tokio::test]
async fn what_others_say_is_heard_here_and_whose_it_is() {
    let remote = Arc::new(Remote::default());
    let program = Program::running("r3x-1", &remote, true).await;
    for Inward { topic, .. } in WITH_REPEATS {
        let mut heard = ears(&program.local, topic).await;
        for (origin, expected) in
            [(Some("bb8-2"), "bb8-2"), (None, UNKNOWN), (Some("not a name"), UNKNOWN)]
        {
            let said = Event::new(topic, "anything").with_header("Other", "x");
            let said = match origin {
                Some(origin) => said.with_header(ORIGIN, origin),
                None => said,
            };
            remote.publish(said).await.unwrap();
            let passed = Event::new(topic, "anything").with_header(ORIGIN, expected);
            assert_eq!(hear(&mut heard).await, passed);
        }
    }
}

#[tokio::test]
async fn repeats_of_others_come_in_only_where_their_entries_do() {
    let remote = Arc::new(Remote::default());
    let program = Program::running("r3x-1", &remote, false).await;
    assert_eq!(remote.state().subscriptions, 6);
    let (mut repeats, mut commands) = (
        ears(&program.local, LOG_REPEAT.name()).await,
        ears(&program.local, LOGGING_COMMAND.name()).await,
    );
    remote.publish(Event::new(LOG_REPEAT.name(), "{}")).await.unwrap();
    remote.publish(Event::new(LOGGING_COMMAND.name(), "{}")).await.unwrap();
    hear(&mut commands).await;
    assert!(repeats.try_recv().is_err());
}

#[tokio::test]
async fn two_programs_do_not_play_ping_pong() {
    let remote = Arc::new(Remote::default());
    let one = Program::running("r3x-1", &remote, true).await;
    let two = Program::running("bb8-2", &remote, true).await;
    let mut all = ears(&*remote, SERVICE_STATUS_UPDATE.name()).await;
    let (mut at_one, mut at_two) = (
        ears(&one.local, SERVICE_STATUS_UPDATE.name()).await,
        ears(&two.local, SERVICE_STATUS_UPDATE.name()).await,
    );
    one.says("voice").await;
    assert_eq!(service_of(&hear(&mut all).await), "voice");
    assert_eq!(hear(&mut at_two).await.headers.get(ORIGIN), Some("r3x-1"));
    // What the other says now went out after anything it would have sent back.
    two.says("eyes").await;
    assert_eq!(service_of(&hear(&mut all).await), "eyes");
    assert_eq!(service_of(&hear(&mut at_one).await), "voice");
    assert_eq!(hear(&mut at_one).await.headers.get(ORIGIN), Some("bb8-2"));
    one.says("end").await;
    assert_eq!(service_of(&hear(&mut all).await), "end");
    until(|| one.handle.counts().echoes == 2 && two.handle.counts().inward == 2).await;
    assert!(all.try_recv().is_err());
    assert_eq!((one.handle.counts().outward, two.handle.counts().outward), (2, 1));
    assert_eq!((one.handle.counts().inward, two.handle.counts().echoes), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_commands_is_held_back_and_counted() {
    let remote = Arc::new(Remote::default());
    let program = Program::running("r3x-1", &remote, false).await;
    let mut heard = ears(&program.local, SET_GLOBAL_LEVEL.name()).await;
    for _ in 0..500 {
        remote.publish(Event::new(SET_GLOBAL_LEVEL.name(), "{}")).await.unwrap();
    }
    let large = Event::new(SET_GLOBAL_LEVEL.name(), vec![b'x'; (64 << 10) + 1]);
    remote.publish(large).await.unwrap();
    until(|| program.handle.counts().oversized == 1).await;
    let counts = program.handle.counts();
    assert_eq!((counts.inward, counts.held_back), (50, 450));
    for _ in 0..50 {
        hear(&mut heard).await;
    }
    assert!(heard.try_recv().is_err());
    // Other topics do not suffer from it, and neither does the next second.
    let mut requests = ears(&program.local, SERVICE_STATUS_REQUEST.name()).await;
    remote.publish(Event::new(SERVICE_STATUS_REQUEST.name(), "{}")).await.unwrap();
    hear(&mut requests).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    remote.publish(Event::new(SET_GLOBAL_LEVEL.name(), "again")).await.unwrap();
    assert_eq!(hear(&mut heard).await.payload, "again");
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_is_away_at_the_start_is_joined_when_it_comes() {
    let remote = Arc::new(Remote::default());
    remote.goes();
    let program = Program::started("r3x-1", &remote, false).await;
    program.says("voice").await;
    program.says("eyes").await;
    program.says("voice").await;
    until(|| program.handle.counts().missed == 3).await;
    let mut all = ears(&remote.bus, SERVICE_STATUS_UPDATE.name()).await;
    remote.comes();
    let told = [hear(&mut all).await, hear(&mut all).await];
    assert_eq!(told.each_ref().map(service_of), ["eyes", "voice"], "each once");
    let mut heard = ears(&program.local, LOGGING_COMMAND.name()).await;
    let joined = async {
        while heard.try_recv().is_err() {
            remote.publish(Event::new(LOGGING_COMMAND.name(), "{}")).await.unwrap();
            tokio::time::advance(Duration::from_millis(100)).await;
        }
    };
    timeout(DEADLINE, joined).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn statuses_are_said_again_after_an_outage_and_nothing_else() {
    let remote = Arc::new(Remote::default());
    let program = Program::running("r3x-1", &remote, false).await;
    let mut all = ears(&remote.bus, SERVICE_STATUS_UPDATE.name()).await;
    let mut others = ears(&remote.bus, LOGGING_STATUS.name()).await;
    program.says("voice").await;
    hear(&mut all).await;
    remote.goes();
    let status = LoggingStatus { levels: Levels::new(Level::Debug) };
    program.local.publish_json(&LOGGING_STATUS, &status).await.unwrap();
    until(|| program.handle.counts().missed == 1).await;
    remote.comes_back();
    let again = hear(&mut all).await;
    assert_eq!((service_of(&again).as_str(), again.headers.get(ORIGIN)), ("voice", Some("r3x-1")));
    assert!(others.try_recv().is_err());
    assert_eq!(program.handle.counts().outward, 2);
}

#[tokio::test]
async fn what_was_said_before_the_end_goes_out() {
    let remote = Arc::new(Remote::default());
    let program = Program::running("r3x-1", &remote, false).await;
    let mut all = ears(&*remote, SERVICE_STARTING.name()).await;
    for number in 0..100 {
        let said = Announcement::now(&number.to_string());
        program.local.publish_json(&SERVICE_STARTING, &said).await.unwrap();
    }
    program.tasks.stop(DEADLINE).await.unwrap();
    for number in 0..100 {
        let said = SERVICE_STARTING.decode(&hear(&mut all).await).unwrap();
        assert_eq!(said.service_name, number.to_string());
    }
    assert_eq!(remote.state().subscriptions, 1, "the relay has left");
}

#[tokio::test]
async fn it_ends_when_both_buses_are_closed() {
    let remote = Arc::new(Remote::default());
    let program = Program::running("r3x-1", &remote, false).await;
    remote.close().await.unwrap();
    program.local.close().await.unwrap();
    until(|| program.tasks.running() == 0).await;
}
