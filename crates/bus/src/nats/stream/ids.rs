//! Which events of a publisher are there.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_nats::{
    HeaderMap, HeaderValue,
    datetime::{DateTime, from_nanos},
    jetstream::consumer::{self, AckPolicy, DeliverPolicy},
};
use tokio::time::Instant;

use super::{
    WAIT_MAX, api,
    connection::{Connection, Fault},
    pull::Pull,
};
use crate::{EVENT_ID, ORIGIN, unique::unique};

/// More ids are not read: each takes some sixty bytes of memory, and so many mean that it was asked about too long a time.
const IDS_MAX: usize = 1_000_000;

/// How many events are asked for at once; they come without their payload.
const BATCH: usize = 1000;

/// The servers forget a consumer that nobody has used for this long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);

pub(super) async fn read(
    connection: &Arc<Connection>,
    stream: &str,
    subject: &str,
    origin: &str,
    since: SystemTime,
) -> Result<HashSet<String>, Fault> {
    let by = Instant::now() + WAIT_MAX;
    let last = api::stream_info(connection, stream, by).await?.state.last_seq;
    let name = format!("ids-{}", unique());
    let config = config(&name, subject, since)?;
    let pending = api::create_consumer(connection, stream, &config, by).await?.num_pending;
    let found = collect(connection, stream, &name, origin, (pending, last)).await;
    // Without this the servers forget it by themselves, a little later.
    let _ = api::delete_consumer(connection, stream, &name, Instant::now() + WAIT_MAX).await;
    found
}

fn config(name: &str, subject: &str, since: SystemTime) -> Result<consumer::Config, Fault> {
    Ok(consumer::Config {
        name: Some(name.to_owned()),
        filter_subject: subject.to_owned(),
        deliver_policy: DeliverPolicy::ByStartTime { start_time: date(since)? },
        ack_policy: AckPolicy::None,
        headers_only: true,
        memory_storage: true,
        num_replicas: 1,
        inactive_threshold: FORGOTTEN_AFTER,
        ..consumer::Config::default()
    })
}

fn date(since: SystemTime) -> Result<DateTime, Fault> {
    let nanos = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    from_nanos(i128::try_from(nanos).map_err(Fault::refused)?).map_err(Fault::refused)
}

/// Reads `pending` events, or those up to the number `last`: what is stored meanwhile was not asked for.
async fn collect(
    connection: &Arc<Connection>,
    stream: &str,
    name: &str,
    origin: &str,
    (mut pending, last): (u64, u64),
) -> Result<HashSet<String>, Fault> {
    let mut ids = HashSet::new();
    let mut pull = Pull::open(connection, stream, name).await?;
    let mut delivered = 0;
    while pending > 0 {
        if pull.due() == 0 {
            pull.ask(usize::try_from(pending).map_or(BATCH, |pending| pending.min(BATCH))).await?;
        }
        let Some((message, numbers)) = pull.next().await? else {
            // What was due may have been deleted since.
            let by = Instant::now() + WAIT_MAX;
            let info = api::consumer_info(connection, stream, name, by).await?;
            pending = info.ok_or(Fault::Lost)?.num_pending;
            continue;
        };
        delivered += 1;
        if numbers.consumer != delivered {
            return Err(Fault::refused("an event was lost on the way"));
        }
        if let Some(id) = message.headers.as_ref().and_then(|headers| id_of(headers, origin)) {
            ids.insert(id.to_owned());
        }
        if ids.len() > IDS_MAX {
            return Err(Fault::refused(format_args!("there are more than {IDS_MAX} ids")));
        }
        pending = if numbers.stream >= last { 0 } else { numbers.pending };
    }
    Ok(ids)
}

/// The id of an event, if `origin` published it.
fn id_of<'a>(headers: &'a HeaderMap, origin: &str) -> Option<&'a str> {
    let is_its = headers.get(ORIGIN).is_some_and(|value| value.as_str() == origin);
    headers.get(EVENT_ID).filter(|_| is_its).map(HeaderValue::as_str)
}
