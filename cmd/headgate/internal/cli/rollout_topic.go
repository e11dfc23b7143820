package cli

import "io"

const rolloutFileText = `headgate/rollouts/NAME.yaml says how a new version of an event opens. Unknown keys are errors. ` + "`headgate rollout create`" + `
drafts one, ` + "`headgate rollout check NAME`" + ` holds it against the recorded releases and the fleet.

    schema: main                  # the store kind, where the app has several
    events:                       # one family, or several that open together, in the same stores
      TodoCreated: {from: v1, to: v2}
      # TodoShared: {from: off, to: v1}   # a new event, without an older version: the flag says off until it opens
    floor: 1.5.0                  # builds from it on may emit v2; default: the first release from which on all define
                                  # and materialize it
    horizon: 90d                  # a client away for longer does not count; default: fleet.horizon of headgate.yaml, 90d
    steps:                        # weights rise; a step takes the stores with the lowest places, by a hash of their ids
      - {weight: 1, pause: 1d, analysis: [unknown]}    # percent of the stores; the step lasts a day
      - {weight: 25, pause: 2d, analysis: [unknown, errors]}
      - {weight: 50, pause: 2d, confirm: {url: "https://deploy.internal/may-advance"}}   # its own; see below
      - {weight: 100, pause: manual}                   # until ` + "`headgate rollout promote`" + `
    analysis:
      unknown:
        signal: unknown-event-rate            # what headgate serve was told; see below
        for: 10m                  # how far back it looks, to the analysis's beginning at most
        interval: 1m
        failureCondition: result > 0.01 && result > 2 * (baseline ?? 0)    # baseline: the stores that are not open
      latency:
        prometheus:               # one query at the time of the measurement; a vector is the list of its values
          address: http://prometheus:9090
          query: max(histogram_quantile(0.95, rate(sync_seconds_bucket{env="{env}"}[5m])))
          authorization: PROMETHEUS_AUTHORIZATION   # the variable with that header's value, "Bearer …"
          timeout: 10s
        interval: 5m
        failureCondition: result[0] > 2
      errors:
        command: [node, scripts/errors.mjs, "{env}", "{event}"]   # prints the result as JSON
        interval: 10m             # between two measurements
        initialDelay: 30m         # from the step's beginning to the first one
        count: 6                  # measurements; default: as many as the step's pause lasts
        successCondition: result < 0.001      # a boolean of expr-lang over result
        failureCondition: result >= 0.01      # where both are there and neither holds, it is inconclusive
        failureLimit: 0           # more failures than this fail the analysis
        inconclusiveLimit: 0      # more than this pause the rollout
        consecutiveErrorLimit: 4  # more errors in a row than this fail it; an error is no measurement
        consecutiveSuccessLimit: 5   # that many successes in a row end it
        onNoData: pause           # of pause, pass, fail: null, NaN and [] are no data, and that is no failure
    onFailure: pause              # or abort
    onNoData: pause               # where an analysis does not say
    freeze:                       # when nothing opens or advances; an abort always goes through
      - {cron: "* 18-23 * * fri", zone: Europe/Berlin, reason: weekend}   # each minute that fits is frozen
    approvals: {ramp: 0, full: 1} # by others than who started it: before the first store, before all stores
    waivers:                      # until the day that they expire
      - {client: "kiosk-*", reason: "read only", owner: ana, expires: 2027-03-31}    # does not hold a store back
      - {release: 1.0.0, reason: "…", owner: ana, expires: 2027-03-31}               # nor do clients of this one; none
      - {store: "test-*", reason: "…", owner: ana, expires: 2027-03-31}              # opens though nobody watches it

A store opens when every client that was seen in it within the horizon runs a recorded release that defines and
materializes the new events. A client that says no release, or one that nobody recorded, does not. It is

    eligible     it may open
    waiting      no client holds it back, but sync has not been reported for a whole horizon: who was away is not known
    blocked      a client holds it back, until it upgrades, is refused by the floor, or is away for a horizon
    unobserved   its sync backend reports nobody: only a waiver opens it

The reports of the sync Worker are the authority. Flag contexts, telemetry and imports only add clients that hold a store
back. headgate's own writers and LiveStore's devtools don't count. clients: in headgate.yaml names server-side clients.

A signal is made of what the sync backend and the apps reported to headgate serve from the stores that the rollout has open.
A condition may hold it against baseline, the same of the other stores at the same time; where there are none, baseline is
nil: write baseline ?? 0, or the measurement is one without data. There are

    unknown-event-rate        events that the reading release does not know, by the minute that a client was reading
    materializer-error-rate   materializers that threw, by the same
    open-failure-rate         the share of attempts to open a store that failed
    push-rejection-rate       the share of pushes that were turned away
    active-connections        clients that were reading, on average
    push-latency-p50          and p95, p99; pull-latency- and materialize-latency- likewise: milliseconds, from LiveStore's
                              spans; of pulls over a WebSocket, which last as long as the connection, from the helper's
                              timePull: from an app's start until it has what the backend has

One that nobody has ever reported in the environment can't tell that something goes wrong: ` + "`headgate rollout check`" + ` warns of
it as RO106, and ` + "`headgate rollout start`" + ` repeats that.

confirm is asked before the first step opens, when a store of it is eligible; before a step is left, when it has lasted as long
as it should and its analysis has succeeded; and before promote --full. A step's own takes the place of the rollout's when that
step is left, and that of the last one before promote --full. It is asked with a POST of the rollout, the environment, the step
(0 before the first) and what comes next (a weight, "point of no return" or "full") as JSON. 200 lets it go on. Another answer,
or none, holds it, with the first line of its text in the status, and it is asked again. A promotion asks, too; an abort asks
nobody.

    confirm:
      url: https://deploy.internal/may-advance
      timeout: 10s                # default
      every: 1m                   # default: between two questions
      headers: {Authorization: DEPLOY_AUTHORIZATION}   # the variables with the headers' values

In command and query {env}, {rollout}, {event}, {weight} and {step} are replaced. A command runs in headgate.yaml's directory, a minute at
most. A store that is open stays open; the flags list the open stores, and an abort empties the list.
`

func rolloutFileTopic() topic {
	return topic{
		name:  "rollout-file",
		about: "what stands in headgate/rollouts/NAME.yaml",
		render: func(_ *app, w io.Writer, _ []string) error {
			_, err := io.WriteString(w, rolloutFileText)
			return err
		},
	}
}
