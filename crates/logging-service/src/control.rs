//! Commands in, settings out.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bus::{Bus, BusExt, TypedSubscription};
use chrono::Utc;
use log_entry::{Level, Levels, RecordSink};
use logging_api::{
    Command, LOGGING_COMMAND, LOGGING_STATUS, LoggingStatus, SET_GLOBAL_LEVEL, SetGlobalLevel,
};
use session_store::Line;
use standard_service::chain;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::pipeline::say;

/// Owns the settings that change at runtime.
pub(crate) struct Control {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) levels: watch::Sender<Levels>,
    pub(crate) intake: Arc<dyn RecordSink>,
    /// Lines for the session record.
    pub(crate) notes: mpsc::Sender<Line>,
}

/// Commands that may wait.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(64).expect("it is not zero");
/// Loggers with a level of their own, and the length of their names.
const LOGGERS_MAX: usize = 256;
const NAME_MAX: usize = 256;

impl Control {
    /// Follows commands until `cancelled`, whatever the bus is waiting for.
    pub(crate) async fn run(self, cancelled: CancellationToken) {
        tokio::select! {
            () = cancelled.cancelled() => {}
            () = self.listen() => {
                // The bus has closed. Whoever watches the levels must not take
                // that for the end of the service.
                cancelled.cancelled().await;
            }
        }
    }

    async fn listen(&self) {
        let subscriptions = async {
            let commands = self.bus.subscribe_json(&LOGGING_COMMAND, CAPACITY).await?;
            let global = self.bus.subscribe_json(&SET_GLOBAL_LEVEL, CAPACITY).await?;
            Ok::<_, bus::Error>((commands, global))
        };
        match subscriptions.await {
            Ok((commands, global)) => self.follow(commands, global).await,
            Err(error) => self.complain(&error),
        }
    }

    async fn follow(
        &self,
        mut commands: TypedSubscription<Command>,
        mut global: TypedSubscription<SetGlobalLevel>,
    ) {
        loop {
            tokio::select! {
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
        if let Command::SetLevel { logger: Some(logger), .. } = &command
            && !has_place(&old, logger)
        {
            let place = format!("{LOGGERS_MAX} loggers, with names of {NAME_MAX} bytes");
            let text = format!("a level was not set: there is place for {place}");
            return say(&*self.intake, Level::Warning, text);
        }
        let (new, what, by) = changed(&old, command);
        if new != old {
            self.levels.send_replace(new.clone());
            self.note(&old, &new, &by).await;
            // At WARNING, so that it is in the record whatever the levels are now.
            say(&*self.intake, Level::Warning, format!("{what}, asked by {by}"));
        }
        let status = LoggingStatus { levels: new };
        if let Err(error) = self.bus.publish_json(&LOGGING_STATUS, &status).await {
            self.complain(&error);
        }
    }

    /// Puts the change into the session record.
    async fn note(&self, old: &Levels, new: &Levels, by: &str) {
        let value = |levels| serde_json::to_value(levels).expect("levels have text keys only");
        let line = Line::Settings {
            who: by.to_owned(),
            what: "levels".to_owned(),
            old: value(old),
            new: value(new),
            at: Utc::now(),
        };
        // The pipeline has gone only if the service stops.
        let _: Result<(), _> = self.notes.send(line).await;
    }

    fn complain(&self, error: &(dyn std::error::Error + 'static)) {
        let text = format!("a command was not followed: {}", chain(error));
        say(&*self.intake, Level::Warning, text);
    }
}

/// Whether `logger` can have a level of its own. Every record is compared with
/// all of them.
fn has_place(levels: &Levels, logger: &str) -> bool {
    logger.len() <= NAME_MAX
        && (levels.loggers.len() < LOGGERS_MAX || levels.loggers.contains_key(logger))
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
