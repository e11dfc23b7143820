package planner

func stateRules() []Rule {
	return []Rule{
		{
			Code: "ST101", Title: "the state hash moves: every client rebuilds", Replay: Info, Fleet: Info,
			Breaks: "Nothing by itself. The state hash moves, and each client runs its whole log through the materializers at the next boot.",
			Who:    "Every client, for the time of the rebuild.", Fix: "Look at the forecast of headgate plan; ship several table changes together.",
			Example: "todos gets a column priority.",
		},
		{
			Code: "ST102", Title: "materializer behaves differently, state hash the same", Replay: Error, Fleet: OK,
			Breaks: "LiveStore rebuilds only when the state hash moves. Clients that already ran the old materializer keep its rows for good; new clients get other ones. Warning when the source changed and no payload was found that shows it.",
			Who:    "Every client with such events behind it.", Fix: "Let the state rebuild: ride on a release whose hash moves anyway, or headgate epoch bump.",
			Example: "A helper that the v2.TodoCreated materializer imports now rounds priorities; the materializer's own text is unchanged.",
		},
		{
			Code: "ST103", Title: "new event into existing tables, state hash the same", Replay: Error, Fleet: OK,
			Breaks:  "Clients that met the event before they upgraded skipped it, and nothing makes them look at it again: the hole stays for good. Warning when a plan gates the event on its readers and no log holds one yet.",
			Who:     "Clients that were online while the event was emitted and ran a release without it.",
			Fix:     "In order of cost: nothing, if no such event was emitted and none will be before the readers are there; compensating events for the affected stores; ride on the next release whose hash moves anyway; headgate epoch bump.",
			Example: "1.2.0 adds v1.TodoArchived, which updates todos. A canary archived 18 todos; clients that were on 1.1.0 show them as open, also after they upgrade.",
		},
		{
			Code: "ST104", Title: "only the order of tables or columns changed", Replay: Warning, Fleet: Warning,
			Breaks: "The state hash covers the order, so every client rebuilds for nothing.",
			Who:    "Every client.", Fix: "Put the definitions back in their order, or let the change ride with one that needs a rebuild.",
			Example: "lists is defined before todos now.",
		},
		{
			Code: "ST105", Title: "state hash moved by a LiveStore or Effect upgrade", Replay: Warning, Fleet: Warning,
			Breaks: "No table of the app changed, yet the whole fleet rebuilds.",
			Who:    "Every client.", Fix: "Plan it as a rebuild: canary, forecast, quiet hours.",
			Example: "Effect 3.20 -> 3.21 moved the hash of every JSON column.",
		},
		{
			Code: "ST106", Title: "storage format version changed", Replay: Error, Fleet: Error,
			Breaks: "The new release opens a new log file and pulls from the backend again. Events that were not pushed stay behind in the old file.",
			Who:    "Every client with unpushed events.", Fix: "Let clients sync to the end under the old release first; keep the old files until nothing is pending in them.",
			Example: "eventlog@6.db becomes eventlog@7.db.",
		},
		{
			Code: "ST107", Title: "state hash returns to an earlier value (A -> B -> A)", Replay: OK, Fleet: Error,
			Breaks: "Adapters that keep old state files reopen the one of the earlier release. LiveStore does not compare its head with the log's, so everything that happened in between is missing for good. The web adapter removes old files and rebuilds.",
			Who:    "Clients on the node, expo and cloudflare adapters that ran the earlier release.", Fix: "headgate epoch bump: the returning tables get a hash that never was.",
			Example: "1.1.0 is rolled back to 1.0.0; a client shows 3 of 7 todos.",
		},
		{
			Code: "ST108", Title: "client document changed", Replay: Warning, Fleet: Warning,
			Breaks: "A client document lives in clientOnly events, which no backend holds; what no longer decodes falls back to its default.",
			Who:    "Each client, for its own settings.", Fix: "Only add fields with defaults.",
			Example: "uiState's filter becomes an object.",
		},
		{
			Code: "ST109", Title: "different schemas, same state hash", Replay: Error, Fleet: Error,
			Breaks: "LiveStore takes the old state file for the new release, whose column codecs differ: rows that were written before are read as if the new release had written them, without a rebuild. A note where the new codec reads all of the old one's values, such as an optional field added to a JSON column.",
			Who:    "Every client that upgrades.", Fix: "Make the hash move: headgate epoch bump.",
			Example: "A JSON column's field goes from text to number. LiveStore 0.4.0 means to hash JSON schemas and does not: no column codec is in the hash.",
		},
		{
			Code: "ST110", Title: "query without an index", Replay: Warning, Fleet: OK,
			Breaks: "A declared query reads a whole table to answer a condition.",
			Who:    "Clients with much data.", Fix: "Add an index to the table (the state hash moves: every client rebuilds).",
			Example: "SELECT … FROM todos WHERE listId = ?, no index on listId.",
		},
		{
			Code: "ST111", Title: "materializer deletes rows", Replay: Warning, Fleet: OK,
			Breaks: "What was deleted can't be restored or audited from the state, and events about the row that arrive later meet nothing.",
			Who:    "People who want their data back.", Fix: "Set a deletedAt column, and leave deleted rows out of queries.",
			Example: "v1.TodoDeleted runs DELETE FROM todos.",
		},
		{
			Code: "ST112", Title: "JSON column without a schema", Replay: Warning, Fleet: OK,
			Breaks: "Nothing checks what is written to the column, and a change of its shape does not move the state hash.",
			Who:    "Whoever reads the column.", Fix: "State.SQLite.json({schema: …}).",
			Example: "meta: State.SQLite.json().",
		},
		{
			Code: "ST113", Title: "rebuild that is not atomic", Replay: Error, Fleet: OK,
			Breaks: "Boot tests only that the system tables exist, and they are made first: a rebuild that is interrupted counts as complete. The client stays corrupt for good, and on the web loses later commits. Warning on the web when the hooks are there but the fast path is still on or cache spill is not off.",
			Who:    "Clients that are closed or killed during the rebuild.", Fix: "headgate generate, and spread its rebuild hooks into the schema; on the web also set experimental.disableFastPath.",
			Example: "A rebuild killed after some seconds left 361 of 2,000 rows, accepted for good.",
		},
		{
			Code: "ST114", Title: "migrations: manual", Replay: Warning, Fleet: OK,
			Breaks: "The state file never moves, so no remedy that works through the state hash has an effect; an epoch bump is refused.",
			Who:    "Every client.", Fix: "Use strategy auto unless the app migrates its state itself.",
			Example: "migrations: {strategy: 'manual', migrate: …}.",
		},
	}
}
