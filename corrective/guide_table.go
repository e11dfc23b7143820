package corrective

// The guides of LiveStore 0.4.0. What was tried is marked so; the rest was read in the adapters' sources.

const (
	replays = "LiveStore makes the tables anew from the whole log at the next start, and the app waits for it (node: some 280 events a second; " +
		"425 with headgate's rebuild hooks)"
	unsent     = "all events, those that are not sent yet too: they are in the log"
	backendHas = "what the backend has: the client loads all of it again"
	helps      = "If the rows are wrong again afterwards, the events or the materializers are: headgate rollback plan"
)

func resetOption(call string) Step {
	return Step{Do: "or let the next start do it, once, and take the option out again (finding AD102 watches it)", Run: call + "({ …, resetPersistence: true })"}
}

func nodeGuide() Guide {
	return Guide{
		Adapter: "node", Title: "Node, files in a directory", LiveStore: GuideVersion,
		Places: []Kept{
			{"event log", "BASE/STORE/eventlog@6.db"},
			{"state", "BASE/STORE/state<HASH>@6.db: one file for each state hash that ever ran here; statefixed@6.db with migrations of the strategy manual"},
			{"ids", "in the program: clientId is the host's name and sessionId static unless they are set"},
			{"generation of headgate's reset", "BASE/STORE.headgate-reset.json"},
		},
		Ways: []Way{
			{
				Kind: StateOnly, Title: "Remove the state files", Proof: ByTest,
				Steps: []Step{
					{Do: "stop every program that has the store open"},
					{Do: "keep a copy", Run: "cp -a BASE/STORE BASE/STORE.before"},
					{Do: "remove the state files of all hashes, with their journals; never a file whose name begins with eventlog", Run: "rm -f BASE/STORE/state*@6.db BASE/STORE/state*@6.db-journal"},
					{Do: "start the program: " + replays},
				},
				Loses: nil,
				Keeps: []string{unsent, "client documents: their events are in the log, too"},
				Check: []Step{
					{Do: "the log has as many events as in the copy", Run: "headgate log stats --log file:BASE/STORE/eventlog@6.db"},
					{Do: "the rows are those of a replay under the release that runs", Run: "headgate state replay --log file:BASE/STORE/eventlog@6.db --release VERSION --out replayed.db"},
					{Do: "and no difference is left", Run: "headgate state diff replayed.db 'BASE/STORE/state<HASH>@6.db'"},
				},
			},
			{
				Kind: FullReset, Title: "Remove the store's directory", Proof: ByTest,
				Steps: []Step{
					{Do: "let the client send what it has: online, until nothing but clientOnly events is pending", Run: "headgate log stats --log file:BASE/STORE/eventlog@6.db"},
					{Do: "stop every program that has the store open"},
					{Do: "keep the directory, which has what could not be sent", Run: "mv BASE/STORE BASE/STORE.before"},
					resetOption("makeAdapter"),
					{Do: "start the program, online: it loads the log from the backend"},
				},
				Loses: FullResetLoses(),
				Keeps: []string{backendHas, "the ids, which are in the program"},
				Check: []Step{
					{Do: "the log ends where the backend's does, and nothing but clientOnly events is pending", Run: "headgate log stats --log file:BASE/STORE/eventlog@6.db"},
				},
			},
		},
		Notes: []string{helps},
	}
}

func webPlaces() []Kept {
	return []Kept{
		{"event log and state", "OPFS, the directory livestore-STORE@6 of the page's origin (with storage.directory: DIR@6): a pool of files whose own names say nothing; each begins with 4,096 bytes that hold its name, /eventlog.db or /state<HASH>.db"},
		{"old state files", "removed by LiveStore; a development build keeps three in livestore-STORE@6/archive"},
		{"ids", "localStorage livestore:clientId:STORE, sessionStorage livestore:sessionId:STORE"},
		{"generation of headgate's reset", "localStorage headgate:reset:STORE"},
	}
}

func webWays(call string) []Way {
	return []Way{
		{
			Kind: StateOnly, Title: "Have the state rebuilt", Proof: ByTest,
			Not: "the state file can't be removed by hand: it is one of a pool whose files are open as long as the app is",
			Steps: []Step{
				{Do: "raise the epoch and ship it: every client opens a new state file and replays its log into it", Run: "headgate epoch bump"},
				{Do: "or ship headgate's start-up check, which has a state rebuilt that lacks events of its log", Run: "adapter: withStartupCheck(" + call + "({ ...headgateWebAdapterOptions, storage, … }), storage)"},
			},
			Keeps: []string{unsent, "client documents"},
			Check: []Step{{Do: "in the page's console: one file of the pool is named for the new hash; the app shows the right rows"}},
		},
		{
			Kind: FullReset, Title: "Remove the OPFS directory", Proof: ByTest,
			Steps: []Step{
				{Do: "let the client send what it has: online, until the app says that it is synced"},
				{Do: "close all tabs of the app; the files are open as long as one is there"},
				{Do: "open another page of the same origin, scheme, host and port, such as /robots.txt, and paste into its console", Run: "const root = await navigator.storage.getDirectory(); await root.removeEntry('livestore-STORE@6', { recursive: true })"},
				resetOption(call),
				{Do: "open the app, online: it loads the log from the backend"},
			},
			Loses: FullResetLoses(),
			Keeps: []string{backendHas, "the ids in localStorage and sessionStorage; “Clear site data” removes those, too, and all other data of the origin"},
			Check: []Step{
				{Do: "before the app is opened again, the list lacks livestore-STORE@6", Run: "for await (const name of (await navigator.storage.getDirectory()).keys()) console.log(name)"},
				{Do: "afterwards the app shows what another client shows"},
			},
		},
	}
}

func webGuide() Guide {
	return Guide{
		Adapter: "web", Title: "Web, persisted (OPFS, several tabs)", LiveStore: GuideVersion, Places: webPlaces(), Ways: webWays("makePersistedAdapter"),
		Notes: []string{
			"A profile whose first start was cut short fails at every start (RangeError … DataView): only the full reset helps, and there is nothing to lose yet.",
			"resetPersistence is skipped, with a warning, where OPFS is not available (private windows of some browsers): there the store is in memory anyway.",
			helps,
		},
	}
}

func singleTabGuide() Guide {
	g := Guide{
		Adapter: "web-single-tab", Title: "Web, single tab (no SharedWorker, as in Chrome for Android)", LiveStore: GuideVersion,
		Places: webPlaces(), Ways: webWays("makeSingleTabAdapter"),
		Notes: []string{"The directory is that of the persisted adapter, which takes this one's place where there is no SharedWorker. Its tabs don't know of each other: close all of them.", helps},
	}
	for i := range g.Ways {
		g.Ways[i].Proof = ByReading
	}
	return g
}

func expoGuide() Guide {
	return Guide{
		Adapter: "expo", Title: "Expo and React Native (expo-sqlite)", LiveStore: GuideVersion,
		Places: []Kept{
			{"event log", "BASE/STORE/livestore-eventlog@6.db; BASE is storage.directory, or SQLite.defaultDatabaseDirectory, with storage.subDirectory below it"},
			{"state", "BASE/STORE/livestore-<HASH>@6.db: one file for each state hash that ever ran here; livestore-fixed@6.db with migrations of the strategy manual"},
			{"ids", "clientId is the device's id and sessionId static unless they are set"},
			{"generation of headgate's reset", "where the app keeps it (the option marks)"},
		},
		Ways: []Way{
			{
				Kind: StateOnly, Title: "Remove the state files", Proof: ByReading,
				Steps: []Step{
					{Do: "in a build for this, before the store is opened, for each hash; a file that is not there makes the call throw", Run: "SQLite.deleteDatabaseSync('livestore-<HASH>@6.db', 'BASE/STORE')"},
					{Do: "or, without touching a device: raise the epoch and ship it", Run: "headgate epoch bump"},
					{Do: "start the app: " + replays},
				},
				Keeps: []string{unsent, "client documents"},
				Check: []Step{{Do: "BASE/STORE has one livestore-<HASH>@6.db, and the app shows the right rows"}},
			},
			{
				Kind: FullReset, Title: "Remove both databases", Proof: ByReading,
				Steps: []Step{
					{Do: "let the client send what it has: online, until the app says that it is synced"},
					{Do: "in a build for this, before the store is opened: the log and the state files of all hashes", Run: "SQLite.deleteDatabaseSync('livestore-eventlog@6.db', 'BASE/STORE')"},
					resetOption("makePersistedAdapter"),
					{Do: "start the app, online"},
				},
				Loses: FullResetLoses(),
				Keeps: []string{backendHas, "with resetPersistence: the state files of other hashes than the running one, which a later release with such a hash opens again. Remove them, too"},
				Check: []Step{{Do: "BASE/STORE has a new livestore-eventlog@6.db, one state file, and the app shows what another client shows"}},
			},
		},
		Notes: []string{
			"resetPersistence fails, and the store does not open, where the state file of the running hash is not there yet (expo-sqlite: DatabaseNotFoundException), or one of the files is open (DeleteDatabaseException), after 10 seconds of trying: let the release open the store once before, and restart the app.",
			"Removing the app from the device, or its storage in Android's settings, is a full reset of all of its stores.",
			helps,
		},
	}
}

func cloudflareGuide() Guide {
	// An object that never had a store has none of the tables: DELETE would throw there.
	const clear = "if (sql.exec('SELECT 1 FROM sqlite_master WHERE name = ?', t).toArray().length > 0) sql.exec(`DELETE FROM ${t}`)"
	once := Step{Do: "record under a key of yours in ctx.storage that it was done, or take it out with the next deployment: it runs whenever the object wakes up"}
	return Guide{
		Adapter: "cloudflare", Title: "A client in a Cloudflare Durable Object", LiveStore: GuideVersion,
		Places: []Kept{
			{"event log", "the tables eventlog and __livestore_sync_status of the object's own SQLite"},
			{"state", "the pages of virtual files /state<HASH>@6.db in its table vfs_pages (file_path, page_no, page_data): one file for each state hash that ever ran here; /statefixed@6.db with migrations of the strategy manual"},
			{"ids", "in the Worker's code: clientId and sessionId are required"},
			{"generation of headgate's reset", "where the Worker keeps it (the option marks): the object's own storage, under a key of yours"},
		},
		Ways: []Way{
			{
				Kind: StateOnly, Title: "Remove the state's pages", Proof: ByTest,
				Steps: []Step{
					{Do: "in a deployment for this, in the object's code before createStoreDo: the state files of all hashes", Run: "const { sql } = this.ctx.storage; for (const t of ['vfs_pages']) " + clear},
					once,
					{Do: "never the tables eventlog and __livestore_sync_status"},
					{Do: "let the object make its store: " + replays},
				},
				Keeps: []string{unsent},
				Check: []Step{{Do: "one file is there, with pages", Run: "SELECT file_path, count(*) FROM vfs_pages GROUP BY file_path"}},
			},
			{
				Kind: FullReset, Title: "Remove all three tables' rows", Proof: ByTest,
				Steps: []Step{
					{Do: "let the object send what it has"},
					{Do: "in a deployment for this, before createStoreDo, in one transaction", Run: "const { sql } = this.ctx.storage; this.ctx.storage.transactionSync(() => { for (const t of ['vfs_pages', 'eventlog', '__livestore_sync_status']) " + clear + " })"},
					once,
					{Do: "or let the next start do it, once, and take the option out again", Run: "createStoreDo({ …, resetPersistence: true })"},
				},
				Loses: FullResetLoses(),
				Keeps: []string{backendHas, "everything else in the object's storage; storage.deleteAll() would remove that, too"},
				Check: []Step{{Do: "the last number is the backend's head", Run: "SELECT max(seqNumGlobal) FROM eventlog"}},
			},
		},
		Notes: []string{
			"This is the client's object, not the sync backend's: that one has eventlog_7_STORE and context_7, and resetting it loses the unsent events of all clients.",
			helps,
		},
	}
}

// inside is the guide of a shell that has no adapter of its own.
func inside(adapter, title, where string) Guide {
	g := webGuide()
	g.Adapter, g.Title = adapter, title
	g.Places = append([]Kept{{"adapter", where}}, g.Places...)
	for i := range g.Ways {
		g.Ways[i].Proof = ByReading
	}
	return g
}

func electronGuide() Guide {
	g := inside("electron", "Electron", "LiveStore has none for Electron. In the renderer it is the web adapter, which this page is about; in the main process the node adapter, see `--adapter node`")
	g.Notes = append([]string{
		"In the renderer the origin's files lie in the app's userData directory, in the browser's own format: go through the console of a window (View, Toggle Developer Tools), not through the disk. With pages from file:// all of the app's pages are one origin.",
	}, g.Notes...)
	return g
}

func tauriGuide() Guide {
	g := inside("tauri", "Tauri", "LiveStore has none for Tauri. In the webview it is the web adapter, which this page is about")
	g.Notes = append([]string{
		"The webview is the system's: WebKit's and Edge's keep OPFS in different places, so go through the console of a debug build. A webview without OPFS keeps the store in memory, and there is nothing to reset.",
	}, g.Notes...)
	return g
}
