//! Commands in, settings out.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bus::{Bus, BusExt, TypedSubscription};
use log_entry::{Level, Levels, RecordSink};
use logging_api::{
    Command, LOGGING_COMMAND, LOGGING_STATUS, LoggingStatus, SET_GLOBAL_LEVEL, SetGlobalLevel,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::pipeline::say;

/// Owns the settings that change at runtime.
pub(crate) struct Control {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) levels: watch::Sender<Levels>,
    pub(crate) intake: Arc<dyn RecordSink>,
}

/// Commands that may wait.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(64).expect("it is not zero");

impl Control {
    /// Follows commands until `cancelled`.
    pub(crate) async fn run(self, cancelled: CancellationToken) {
        let subscriptions = async {
            let commands = self.bus.subscribe_json(&LOGGING_COMMAND, CAPACITY).await?;
            let global = self.bus.subscribe_json(&SET_GLOBAL_LEVEL, CAPACITY).await?;
            Ok::<_, bus::Error>((commands, global))
        };
        match subscriptions.await {
            Ok((commands, global)) => self.follow(commands, global, cancelled).await,
            Err(error) => self.complain(&error),
        }
    }

    async fn follow(
        &self,
        mut commands: TypedSubscription<Command>,
        mut global: TypedSubscription<SetGlobalLevel>,
        cancelled: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = cancelled.cancelled() => return,
                command = commands.recv() => match command {
                    Some(Ok(command)) => self.obey(command).await,
                    Some(Err(error)) => self.complain(&error),
                    None => return,
                },
                level = global.recv() => match level {
                    Some(Ok(SetGlobalLevel { level })) => {
                        let by = SET_GLOBAL_LEVEL.name().to_owned();
                        self.obey(Command::SetLevel { logger: None, level, by }).await;
                    }
                    Some(Err(error)) => self.complain(&error),
                    None => return,
                },
            }
        }
    }

    async fn obey(&self, command: Command) {
        let old = self.levels.borrow().clone();
        let (new, what, by) = changed(&old, command);
        if new != old {
            self.levels.send_replace(new.clone());
            // At WARNING, so that it is in the record whatever the levels are now.
            say(&*self.intake, Level::Warning, format!("{what}, asked by {by}"));
        }
        let status = LoggingStatus { levels: new };
        if let Err(error) = self.bus.publish_json(&LOGGING_STATUS, &status).await {
            self.complain(&error);
        }
    }

    fn complain(&self, error: &dyn std::error::Error) {
        let text = format!("a command was not followed: {}", crate::outputs::store::chain(error));
        say(&*self.intake, Level::Warning, text);
    }
}

/// The levels after `command`, and what to say about it.
fn changed(old: &Levels, command: Command) -> (Levels, String, String) {
    let mut new = old.clone();
    match command {
        Command::SetLevel { logger: None, level, by } => {
            new.global = level;
            (new, format!("log level changed from {} to {level}", old.global), by)
        }
        Command::SetLevel { logger: Some(logger), level, by } => {
            let before = old.threshold(&logger);
            let what = format!("log level of {logger} changed from {before} to {level}");
            new.loggers.insert(logger, level);
            (new, what, by)
        }
        Command::ClearLevel { logger, by } => {
            new.loggers.remove(&logger);
            let what = format!("log level of {logger} is {} again", new.threshold(&logger));
            (new, what, by)
        }
        _ => (new, "an unknown command was ignored".to_owned(), String::new()),
    }
}
