//! From event to record.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::{process, thread};

use chrono::Utc;
use log_entry::{Fields, Record, RecordSink, Source};
use serde_json::Value;
use tracing::span::{self, Attributes, Id};
use tracing::{Dispatch, Event, Metadata, Subscriber};
use tracing_log::NormalizeEvent;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::capture::Shared;
use crate::fields::{BoundedFields, FieldVisitor, Origin};
use crate::filter::severity;
use crate::guard::Guard;
use crate::text;

/// Span names of one event that are kept, from the innermost.
const SPANS_MAX: usize = 64;

/// Offers each event as a record to a sink.
pub(crate) struct Recorder {
    sink: Arc<dyn RecordSink>,
    shared: Arc<Shared>,
    pid: u32,
}

/// The fields of a span, kept with the span.
struct SpanFields(BoundedFields);

// === impl Recorder ===

impl Recorder {
    pub(crate) fn new(sink: Arc<dyn RecordSink>, shared: Arc<Shared>) -> Self {
        Self { sink, shared, pid: process::id() }
    }

    fn record<S>(&self, event: &Event<'_>, context: &Context<'_, S>) -> Record
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let now = Utc::now();
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let origin = if event.is_log() { Origin::LogRecord } else { Origin::Event };
        let mut visitor = FieldVisitor::new(origin);
        event.record(&mut visitor);

        let FieldVisitor { message, mut fields, .. } = visitor;
        let message = message.unwrap_or_else(|| text::render(format_args!("{fields}")));
        let spans = add_span_fields(&mut fields, event, context);
        let mut fields = fields.into_fields();
        add_spans(&mut fields, spans);
        add_module(&mut fields, metadata);

        let logger = text::copy(metadata.target());
        let mut record = Record::new(now, severity(*metadata.level()), logger, message);
        record.source = self.source(metadata);
        record.fields = fields;
        record
    }

    fn source(&self, metadata: &Metadata<'_>) -> Source {
        Source {
            file: metadata.file().map(text::copy),
            line: metadata.line(),
            function: None,
            thread: thread::current().name().map(text::copy),
            task: None,
            pid: Some(self.pid),
        }
    }
}

/// Adds the fields of the spans around `event`, and returns the names of the
/// spans, innermost first.
fn add_span_fields<S>(
    fields: &mut BoundedFields,
    event: &Event<'_>,
    context: &Context<'_, S>,
) -> Vec<&'static str>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let mut names = Vec::new();
    for span in context.event_scope(event).into_iter().flatten() {
        names.push(span.name());
        if let Some(SpanFields(outer)) = span.extensions().get() {
            fields.add_from(outer);
        }
    }
    names
}

/// Adds the names of the spans, outermost first. A field of the event with the
/// same name wins.
fn add_spans(fields: &mut Fields, mut names: Vec<&'static str>) {
    if names.is_empty() {
        return;
    }
    if names.len() > SPANS_MAX {
        fields.insert("spans_dropped".to_owned(), (names.len() - SPANS_MAX).into());
        names.truncate(SPANS_MAX);
    }
    let names: Vec<Value> = names.into_iter().rev().map(Value::from).collect();
    fields.entry("spans").or_insert(Value::Array(names));
}

fn add_module(fields: &mut Fields, metadata: &Metadata<'_>) {
    if let Some(module) = metadata.module_path()
        && module != metadata.target()
    {
        fields.entry("module").or_insert_with(|| text::copy(module).into());
    }
}

impl<S> Layer<S> for Recorder
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        *self.shared.dispatch.lock() = Some(dispatch.downgrade());
    }

    // Fields are formatted before the span's extensions are locked: formatting
    // is foreign code, which may log, or look at the span.

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(_guard) = Guard::enter() else { return };
        let mut visitor = FieldVisitor::new(Origin::Span);
        attributes.record(&mut visitor);
        if let Some(span) = context.span(id)
            && !visitor.fields.is_empty()
        {
            // Two captures in one subscriber keep the same fields here.
            span.extensions_mut().replace(SpanFields(visitor.fields));
        }
    }

    fn on_record(&self, id: &Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let Some(_guard) = Guard::enter() else { return };
        let mut visitor = FieldVisitor::new(Origin::Span);
        values.record(&mut visitor);
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        if let Some(SpanFields(fields)) = extensions.get_mut() {
            fields.replace_from(visitor.fields);
        } else {
            extensions.insert(SpanFields(visitor.fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(_guard) = Guard::enter() else {
            self.shared.reentrant.fetch_add(1, Ordering::Relaxed);
            return;
        };
        // A record that is refused has been counted by the sink.
        self.sink.offer(self.record(event, &context));
    }
}
