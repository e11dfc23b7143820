// Package codegen renders what an app takes into its own code: headgate.generated.ts, one file per schema, and
// headgate.worker.ts, the wrapper of its sync backend, whole and deterministically from one manifest,
// headgate/generated.yaml. The file carries the epoch table, the
// hooks that make a rebuild of the state atomic, the options for the web adapter, the start-up check that finds a
// state which is already partial, and the backfill migrations that the app runs itself, with their marker.
//
// It does not read headgate.yaml, does not evaluate the app, and decides nothing about an upgrade: the next epoch
// is the highest one known plus one, whatever the reason. Knowledge of LiveStore versions and adapters that the
// rendered code rests on is data in livestore.go.
package codegen
