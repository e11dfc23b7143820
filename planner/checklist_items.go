package planner

// checklistItems is the production checklist, in its order.
func checklistItems() []item {
	const probe = "decided by a probe of the backend once there is one; until then by attestation"
	return []item{
		{"E1", "Events", "every event name carries a version prefix", byFindings(Warning, []string{"EV109"})},
		{"E2", "Events", "no existing event changed its shape without a new version", shapes},
		{"E3", "Events", "fields added later are optional or have decoding defaults, so old logs still give right state", byFindings(Error, []string{"FD103"})},
		{"E4", "Events", "every version of an event that ever shipped has a materializer, retired ones too", retired},
		{"E5", "Events", "unknown-event strategy chosen on purpose; production: callback into telemetry", byFindings(Warning, []string{"UE101"})},

		{"S1", "State", "queries that run use an index", queriesIndexed},
		{"S2", "State", "soft deletes where rows may have to be restored or audited", byFindings(Warning, []string{"ST111"})},
		{"S3", "State", "JSON columns have schemas", byFindings(Warning, []string{"ST112"})},
		{"S4", "State", "queries return no more columns than used; no over-wide signals", byPerson("decided by attestation")},

		{"M1", "Materializers and errors", "deterministic, no side effects", byFindings(Warning, []string{"MT101"}, "MT101")},
		{"M2", "Materializers and errors", "tested with edge-case inputs", byFindings(Warning, []string{"MT103"}, "MT103")},
		{"M3", "Materializers and errors", "mixed old and new versions replay to the right state", byFindings(Warning, []string{"MT104"}, "MT104")},
		{"M4", "Materializers and errors", "a materializer failure and a sync failure are seen, not swallowed", failuresSeen},
		{"M5", "Materializers and errors", "long disconnects handled", byPerson("decided by attestation")},

		{"A1", "Adapter", "persisted adapter in production", byFindings(Warning, []string{"AD101"})},
		{"A2", "Adapter", "no reset option left in", byFindings(Warning, []string{"AD102"})},
		{"A3", "Adapter", "a rebuild that is interrupted can't be taken for complete", atomicRebuild},

		{"L1", "Log size", "high-frequency events (cursors, presence) are in a store of their own", highFrequency},
		{"L2", "Log size", "growth known: when does a rebuild pass 60 s, when does the log pass the quota; compaction considered", growth},

		{"B1", "Sync backend", "deployed near its users", byPerson(probe)},
		{"B2", "Sync backend", "CPU and memory limits set", byPerson("decided by attestation, from the Worker's configuration")},
		{"B3", "Sync backend", "load-tested with the expected number of connections", byPerson(probe)},
		{"B4", "Sync backend", "tokens checked when connecting (Worker)", byPerson(probe)},
		{"B5", "Sync backend", "tokens checked again on push and pull (Durable Object)", byPerson(probe)},
		{"B6", "Sync backend", "tokens expire and are refreshed before", byPerson(probe)},
		{"B7", "Sync backend", "no client can push to a store it may not", byPerson(probe)},
		{"B8", "Sync backend", "tenants isolated", byPerson(probe)},
		{"B9", "Sync backend", "the author of an event is the authenticated user, where that matters", byPerson(probe)},
		{"B10", "Sync backend", "secrets in the environment, not in code", byFindings(Warning, []string{"SE101"})},

		{"O1", "Monitoring", "backend logs collected", byPerson("decided by attestation, from the Worker's configuration")},
		{"O2", "Monitoring", "alerts on error rate, connections, push/pull latency", byPerson("decided by attestation")},
		{"O3", "Monitoring", "OpenTelemetry traces arrive from client and worker", traced},
		{"O4", "Monitoring", "sync latency p50/p95/p99, active connections, unknown-event rate, materializer error rate are watched", watched},

		{"X1", "Security", "sensitive payloads encrypted by schema transform; keys outside the bundle", personalData},
		{"X2", "Security", "end-to-end encryption considered where the backend must not read", byPerson("decided by attestation")},

		{"T1", "Tests", "events -> state unit tests", unitTested},
		{"T2", "Tests", "schema-evolution tests with mixed versions", byFindings(Warning, []string{"MT104"}, "MT104")},
		{"T3", "Tests", "offline and diverging-history tests", byPerson("decided by attestation")},

		{
			"V1", "Evolution", "migrations table; pending checked at start-up; events committed; marked complete",
			byFact(func(in *ChecklistInput) bool { return in.MigrationsMapped }, "the generated helper or a mapping is present", "no generated helper or mapping tracks backfills"),
		},
		{
			"V2", "Evolution", "a plan exists for rolling back: corrective materializer, epoch, reset, runbook rehearsed",
			func(in *ChecklistInput) (ItemVerdict, []string) {
				if in.RollbackDrill != "" {
					return Passed, []string{in.RollbackDrill}
				}
				return Open, []string{"no rollback drill is recorded"}
			},
		},
		{
			"V3", "Evolution", "event versions roll out behind flags with a reader gate",
			byFact(func(in *ChecklistInput) bool { return in.RolloutFiles > 0 }, "rollouts are present", "no rollout is present"),
		},
	}
}
