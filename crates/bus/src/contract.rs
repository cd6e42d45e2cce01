//! The trait, its contract, and the pointers through which it is used.

use std::{num::NonZeroUsize, sync::Arc};

use async_trait::async_trait;

use crate::{Capabilities, Durable, Error, Event, PublishAllError, State, Subscription};

/// Carries events from whoever publishes on a topic to whoever subscribes to it.
///
/// Services hold an `Arc<dyn Bus>` and do not know which adapter it is.
/// The everyday methods are in [`BusExt`](crate::BusExt); an adapter implements the six that have no default.
///
/// # Contract
///
/// Words in capitals bind every adapter; `bus::conformance` checks them.
///
/// * **Topics.** A topic is an exact string that [`check_topic`](crate::check_topic) accepts.
///   An adapter MUST refuse any other with [`Error::Topic`], and MUST keep different topics apart.
///   One liberty: `/a/b` and `a.b` MAY be the same topic, because on NATS they are the same subject; nobody should use both.
///   Patterns are for adapters that declare [`Capabilities::wildcards`].
/// * **Payloads.** An adapter MUST deliver payload and headers as they were published and MUST NOT look into a payload.
///   It MAY bring the names of headers into another order, but not the values of one name.
/// * **Every subscriber.** Every subscription to a topic MUST get every event of it, the publisher's own included.
/// * **Order.** Events that one publisher publishes on one topic, each after the last `publish` returned, MUST arrive in that order.
///   Nothing is promised between publishers or between topics.
/// * **No replay.** A subscription MUST get the events published after `subscribe` returned, and none from before it was called.
/// * **A full queue loses its oldest event**, and the subscriber MUST find the exact number as [`Delivery::Missed`](crate::Delivery::Missed) before the survivors.
///   A queue holds exactly the capacity asked for, as long as the payloads in it stay below [`QUEUE_BYTES_MAX`](crate::QUEUE_BYTES_MAX) together.
///   Feeding a [`Subscription`] made by [`queue`](crate::queue) does both; losses elsewhere (in a client library, say) are added with [`Feed::missed`](crate::Feed::missed).
/// * **Nobody waits for a slow subscriber.** `publish` MUST NOT wait until a subscriber has room.
/// * **Nothing waits for ever.** `publish`, `subscribe`, `flush` and `close` MUST return within [`Capabilities::wait_max`], with [`Error::TimedOut`] if need be.
/// * **Sizes.** A payload above [`Capabilities::payload_max`] MUST be refused with [`Error::TooLarge`] before any of it is sent; one of exactly that size MUST pass.
///   [`Event::check`] does this and the checks of topic and headers.
/// * **Close.** After `close`, every subscription MUST deliver what is queued and then end, also one that is being waited on.
///   `publish`, `subscribe` and `flush` MUST then fail with [`Error::Closed`]; closing again does nothing and is not an error.
/// * **Leaving.** A dropped [`Subscription`] MUST release what the adapter holds for it and MUST NOT disturb the others.
///   [`Subscription::on_drop`] is how an adapter learns of it.
/// * **Reconnecting** is the adapter's task: subscriptions MUST survive it, and what they may have missed SHOULD be counted.
///
/// # Error classification
///
/// | what happened | variant | for the caller |
/// |---|---|---|
/// | the event itself is at fault | [`Error::Topic`], [`Error::Header`], [`Error::TooLarge`], [`Error::Encode`] | never retry |
/// | the broker forbids it | [`Error::Denied`] | never retry; tell an operator |
/// | the broker is away, and the event was **not** taken | [`Error::Disconnected`] | retry later |
/// | no answer in time; the event may or may not have been taken | [`Error::TimedOut`] | retry only with an id that lets readers drop doubles |
/// | anything else on the way | [`Error::Transport`] | as for no answer |
/// | this bus was closed | [`Error::Closed`] | stop |
///
/// An adapter that reports a lost connection as `Transport` makes callers send doubles; one that reports a refusal as `Disconnected` makes them retry for ever.
///
/// # Cancellation
///
/// A dropped `publish` may or may not have published.
/// A dropped `subscribe` leaves nothing behind.
/// A dropped `flush` or `close` may be called again.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Hands `event` to the bus.
    ///
    /// `Ok` means that it was taken, not that anyone got it; whether the broker has confirmed it is [`Capabilities::confirms`].
    async fn publish(&self, event: Event) -> Result<(), Error>;

    /// Receives every event published on `topic` from now on.
    ///
    /// The subscription stands when this returns: an event published afterwards, by anyone, is delivered.
    /// Up to `capacity` events wait in it; then the oldest go.
    async fn subscribe(&self, topic: &str, capacity: NonZeroUsize) -> Result<Subscription, Error>;

    /// What this adapter can do beyond the contract, and its limits.
    fn capabilities(&self) -> Capabilities;

    /// How the bus is now; never waits.
    fn state(&self) -> State;

    /// Returns once everything published before has left this process.
    async fn flush(&self) -> Result<(), Error>;

    /// Flushes, then ends every subscription of this bus.
    async fn close(&self) -> Result<(), Error>;

    /// Publishes `events` in order, and stops at the first that is not taken.
    ///
    /// The same as publishing one after the other, but an adapter that waits for confirmations waits for many at once.
    /// It takes no longer than [`Capabilities::wait_max`] for each event.
    async fn publish_all(&self, events: &[Event]) -> Result<(), PublishAllError> {
        for (taken, event) in events.iter().enumerate() {
            let published = self.publish(event.clone()).await;
            published.map_err(|source| PublishAllError { taken, source })?;
        }
        Ok(())
    }

    /// What this bus can do with the events it keeps; nothing unless [`Capabilities::durable`].
    fn durable(&self) -> Option<&dyn Durable> {
        None
    }
}

/// Implements [`Bus`] for a pointer to one.
macro_rules! forward {
    ($pointer:ty) => {
        #[async_trait]
        impl<B: Bus + ?Sized> Bus for $pointer {
            async fn publish(&self, event: Event) -> Result<(), Error> {
                (**self).publish(event).await
            }

            async fn subscribe(
                &self,
                topic: &str,
                capacity: NonZeroUsize,
            ) -> Result<Subscription, Error> {
                (**self).subscribe(topic, capacity).await
            }

            fn capabilities(&self) -> Capabilities {
                (**self).capabilities()
            }

            fn state(&self) -> State {
                (**self).state()
            }

            async fn flush(&self) -> Result<(), Error> {
                (**self).flush().await
            }

            async fn close(&self) -> Result<(), Error> {
                (**self).close().await
            }

            async fn publish_all(&self, events: &[Event]) -> Result<(), PublishAllError> {
                (**self).publish_all(events).await
            }

            fn durable(&self) -> Option<&dyn Durable> {
                (**self).durable()
            }
        }
    };
}

forward!(&B);
forward!(Box<B>);
forward!(Arc<B>);
