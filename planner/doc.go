// Package planner decides: it compares releases, judges the differences, and lays out the steps of an upgrade.
//
//   - A [Change] is what differs between two releases, without judgement: [Diff].
//   - A [Finding] is what a change breaks, for whom, and how bad that is: [Check]. The codes are a closed set, each
//     explained by [Rules]. A code never changes its meaning.
//   - A [Checklist] gives every item of the production checklist a verdict.
//   - A [Plan] joins findings, forecast and steps: [BuildPlan]. Its digest covers the intent, not the evidence.
//
// Two directions are judged apart. Replay: the new release reads old events, at a boot after an upgrade and in every
// rebuild. Fleet: an old release that is still out there reads new events.
//
// The package is pure: no clock, no I/O, no database, and no app code is run. What a log holds, what a materializer
// did, who is out there and what time it is reach it as values ([Facts]); package probe produces them.
package planner
