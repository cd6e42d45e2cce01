//! How many events a second go through `NatsBus`, and through the client library alone, on the same server in turn.
//!
//! ```sh
//! cargo run --release -p bus --features nats --example nats_rate -- nats://127.0.0.1:4222
//! ```
#![expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]

use std::{
    error::Error,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use bus::{Bus, Delivery, Event, NatsBus};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::timeout;

const EVENTS: usize = 300_000;
const ROUNDS: usize = 5;
const PAYLOAD: &[u8] = &[b'x'; 300];

/// Events a second: published until the server had them, and from one program to another until the last arrived.
struct Rates {
    published: f64,
    delivered: f64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "nats://127.0.0.1:4222".to_owned());
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        raw.push(through_the_library(&url).await?);
        ours.push(through_the_bus(&url).await?);
    }
    for (what, rate) in [
        ("published", (|rates| rates.published) as fn(&Rates) -> f64),
        ("delivered", |rates| rates.delivered),
    ] {
        let (ours, raw) = (median(&ours, rate), median(&raw, rate));
        println!("{what}: {ours:.0}/s on the bus, {raw:.0}/s alone: {:.2}", ours / raw);
    }
    Ok(())
}

fn median(rates: &[Rates], rate: fn(&Rates) -> f64) -> f64 {
    let mut all: Vec<_> = rates.iter().map(rate).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn rate(begin: Instant) -> f64 {
    EVENTS as f64 / begin.elapsed().as_secs_f64()
}

async fn through_the_bus(url: &str) -> Result<Rates, Box<dyn Error>> {
    let (sender, receiver) =
        (NatsBus::connect(url.parse()?).await?, NatsBus::connect(url.parse()?).await?);
    let payload = Bytes::from_static(PAYLOAD);
    let begin = Instant::now();
    let event = Event::new("rate.published", payload.clone());
    for _ in 0..EVENTS {
        sender.publish(event.clone()).await?;
    }
    sender.flush().await?;
    let published = rate(begin);

    let room = NonZeroUsize::new(EVENTS).ok_or("no events")?;
    let mut events = receiver.subscribe("rate.delivered", room).await?;
    let begin = Instant::now();
    let event = Event::new("rate.delivered", payload);
    let publish = async {
        for _ in 0..EVENTS {
            sender.publish(event.clone()).await?;
        }
        Ok::<_, bus::Error>(())
    };
    let take = async {
        let (mut taken, mut batch) = (0, Vec::new());
        while taken < EVENTS && events.recv_many(&mut batch, 1000).await > 0 {
            let is_event = |delivery: &Delivery| matches!(delivery, Delivery::Event(_));
            taken += batch.drain(..).filter(is_event).count();
        }
    };
    let (sent, taken) = tokio::join!(publish, timeout(Duration::from_mins(1), take));
    sent?;
    taken?;
    let delivered = rate(begin);
    sender.close().await?;
    receiver.close().await?;
    Ok(Rates { published, delivered })
}

async fn through_the_library(url: &str) -> Result<Rates, Box<dyn Error>> {
    // Room for all, as the subscription on the bus has.
    let connect = || async_nats::ConnectOptions::new().subscription_capacity(EVENTS).connect(url);
    let (sender, receiver) = (connect().await?, connect().await?);
    let payload = Bytes::from_static(PAYLOAD);
    let subject = async_nats::Subject::from("rate.published");
    let begin = Instant::now();
    for _ in 0..EVENTS {
        sender.publish(subject.clone(), payload.clone()).await?;
    }
    // Its flush only reaches the socket; an answer from the other end means that the server has it all.
    let mut fence = sender.subscribe("rate.fence").await?;
    sender.publish("rate.fence", "".into()).await?;
    fence.next().await.ok_or("the connection is lost")?;
    let published = rate(begin);

    let mut messages = receiver.subscribe("rate.delivered").await?;
    let mut standing = receiver.subscribe("rate.standing").await?;
    receiver.publish("rate.standing", "".into()).await?;
    standing.next().await.ok_or("the connection is lost")?;
    let subject = async_nats::Subject::from("rate.delivered");
    let begin = Instant::now();
    let publish = async {
        for _ in 0..EVENTS {
            sender.publish(subject.clone(), payload.clone()).await?;
        }
        Ok::<_, async_nats::PublishError>(())
    };
    let take = async {
        for _ in 0..EVENTS {
            messages.next().await;
        }
    };
    let (sent, taken) = tokio::join!(publish, timeout(Duration::from_mins(1), take));
    sent?;
    taken?;
    Ok(Rates { published, delivered: rate(begin) })
}
