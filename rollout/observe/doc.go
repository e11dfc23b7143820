// Package observe receives over HTTP who is out there: the reports of the wrapped sync backend (which client, on which
// release, pulled from or pushed to which store) and the app helper's telemetry (events it did not know, materializers
// that threw, stores that did not open). It decodes strictly but for what a newer sender adds, bounds everything, stamps the
// time of receipt, and hands the observations to an Observer.
//
//	POST /v1/reports    from the Worker      Reports
//	POST /v1/telemetry  from the apps        Telemetry
//	POST /v1/traces     from OpenTelemetry   Traces
//
// A batch has a name, of which it makes a key: so one that is sent again, because the answer was lost, counts once. What an
// exporter of spans sends has no name, and its bytes make the key.
//
// It stores nothing, decides nothing about a rollout, and knows no tokens: whoever mounts it has found out who sends, and
// passes in for which stores.
package observe
