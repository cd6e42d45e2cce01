//! Two services that know a topic and nothing of each other: one sets the mode, one follows it.
//!
//! Run it with `cargo run -p bus --example two_services`.
#![expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]

use std::{error::Error, sync::Arc, time::Duration};

use bus::{Bus, BusExt, Delivery, ReceiveError, Topic, TypedSubscription};
use serde::{Deserialize, Serialize};

/// What travels on [`MODE_CHANGE`].
#[derive(Debug, Serialize, Deserialize)]
struct ModeChange {
    old_mode: String,
    new_mode: String,
}

const MODE_CHANGE: Topic<ModeChange> = Topic::new("system.mode.change");

/// A question and its answer travel on topics, too.
const MODE_QUERY: Topic<()> = Topic::new("system.mode.query");

/// Publishes three mode changes, answers one question, and ends.
async fn mode_manager(bus: Arc<dyn Bus>) -> Result<(), Box<dyn Error>> {
    let mut questions = bus.subscribe(MODE_QUERY.name(), 4.try_into()?).await?;
    let mut mode = "STARTUP".to_owned();
    for new_mode in ["IDLE", "AMBIENT", "INTERACTIVE"] {
        let change = ModeChange { old_mode: mode, new_mode: new_mode.to_owned() };
        bus.publish_json(&MODE_CHANGE, &change).await?;
        mode = change.new_mode;
    }
    if let Some(Delivery::Event(question)) = questions.recv().await {
        bus.answer(&question, &mode).await?;
    }
    Ok(())
}

/// Shows every change until the mode is `INTERACTIVE`, then asks to be sure.
async fn eye_lights(
    bus: Arc<dyn Bus>,
    mut changes: TypedSubscription<ModeChange>,
) -> Result<(), Box<dyn Error>> {
    while let Some(change) = changes.recv().await {
        match change {
            Ok(change) => {
                println!("eyes: {} -> {}", change.old_mode, change.new_mode);
                if change.new_mode == "INTERACTIVE" {
                    break;
                }
            }
            Err(ReceiveError::Missed { count, .. }) => println!("eyes: missed {count} changes"),
            Err(error) => println!("eyes: {error}"),
        }
    }
    let mode: String = bus.request(&MODE_QUERY, &(), Duration::from_secs(1)).await?;
    println!("eyes: the mode is {mode}");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let bus = bus::connect("memory:").await?;
    // Subscribe first: nothing is replayed.
    let changes = bus.subscribe_json(&MODE_CHANGE, 16.try_into()?).await?;
    tokio::try_join!(mode_manager(Arc::clone(&bus)), eye_lights(Arc::clone(&bus), changes))?;
    bus.close().await?;
    Ok(())
}
