import { SpanStatusCode, trace } from '@opentelemetry/api'

const tracer = trace.getTracer('edge', '1.0.0')
export const onUnknownEvent = ({ event, reason }: { event: { name: string }; reason: string }) =>
  tracer.startActiveSpan('unknown-event', (span) => {
    span.setAttribute('name', event.name)
    span.setStatus({ code: SpanStatusCode.ERROR, message: reason })
    span.end()
  })
