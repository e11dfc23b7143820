package corrective_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"headgate/corrective"
	"headgate/internal/livestore/eventlog/filelog"
	"headgate/internal/testenv"
)

// What the guides say is in the adapters' code: names of files, directories, tables, options and keys. Another version of LiveStore
// that does it otherwise fails here, and needs a table of its own. Of the adapter for Expo only what it shares is installed here.
func TestGuidesSayWhatLiveStoreDoes(t *testing.T) {
	packages := filepath.Join(testenv.Root(t), "internal", "codegen", "testdata", "app", "node_modules", "@livestore")
	if _, err := os.Stat(filepath.Join(packages, "adapter-cloudflare")); err != nil {
		testenv.Need(t, "internal/codegen/testdata/app/node_modules", "run `npm ci --prefix internal/codegen/testdata/app`")
	}
	read := func(path ...string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(append([]string{packages}, path...)...))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	number := func(name string, path ...string) string {
		t.Helper()
		m := regexp.MustCompile(`export const ` + name + ` = (\d+)\b`).FindStringSubmatch(read(path...))
		if m == nil {
			t.Fatalf("%s does not say what %s is", filepath.Join(path...), name)
		}
		return m[1]
	}
	for _, name := range []string{"adapter-node", "adapter-web", "adapter-cloudflare", "common", "sync-cf", "sqlite-wasm"} {
		var p struct{ Version string }
		if err := json.Unmarshal([]byte(read(name, "package.json")), &p); err != nil || p.Version != corrective.GuideVersion {
			t.Errorf("%s is of version %q, %v; the guides are about %s", name, p.Version, err, corrective.GuideVersion)
		}
	}

	text, err := json.Marshal(corrective.Guides())
	if err != nil {
		t.Fatal(err)
	}
	storage, backend := number("liveStoreStorageFormatVersion", "common", "src", "version.ts"), number("PERSISTENCE_FORMAT_VERSION", "sync-cf", "src", "cf-worker", "shared.ts")
	for _, c := range []struct{ pattern, want string }{
		{`@(\d+)(?:\.db|[ '/:;)]|$)`, storage}, {`(?:eventlog|context)_(\d+)\b`, backend},
	} {
		found := regexp.MustCompile(c.pattern).FindAllStringSubmatch(string(text), -1)
		for _, m := range found {
			if m[1] != c.want {
				t.Errorf("the guides name %q, LiveStore's version is %s", m[0], c.want)
			}
		}
		if len(found) == 0 {
			t.Errorf("the guides name nothing like %s", c.pattern)
		}
	}
	if storage != strconv.Itoa(filelog.Format) {
		t.Errorf("headgate reads logs of the storage format %d, LiveStore's is %s", filelog.Format, storage)
	}

	for path, says := range map[string][]string{
		"adapter-node/src/leader-thread-shared.ts": {
			"`state${suffix}@${liveStoreStorageFormatVersion}.db`", "`eventlog@${liveStoreStorageFormatVersion}.db`", "path.join(storage.baseDirectory ?? '', storeId)", "'manual' ? 'fixed'",
		},
		"adapter-node/src/client-session/adapter.ts": {"clientId = hostname(),", "sessionId = 'static',", "resetPersistence?: boolean", "const directory = path.join(storage.baseDirectory ?? '', storeId)"},
		"adapter-web/src/web-worker/common/persisted-sqlite.ts": {
			"`livestore-${storeId}@${liveStoreStorageFormatVersion}`", "`${directory}@${liveStoreStorageFormatVersion}`", "`state${schemaHashSuffix}.db`",
			"ARCHIVE_DIR_NAME = 'archive'", "MAX_ARCHIVED_STATE_DBS_IN_DEV = 3",
		},
		"adapter-web/src/web-worker/leader-worker/make-leader-worker.ts": {"kind === 'state' ? getStateDbFileName(schema) : 'eventlog.db'"},
		"adapter-web/src/web-worker/client-session/persisted-adapter.ts": {
			"export const makePersistedAdapter", "resetPersistence?: boolean", "getPersistedId(`clientId:${storeId}`, 'local')", "getPersistedId(`sessionId:${storeId}`, 'session')", "`livestore:${key}`",
		},
		"adapter-web/src/single-tab/single-tab-adapter.ts":    {"export const makeSingleTabAdapter", "resetPersistence?: boolean"},
		"sqlite-wasm/src/browser/opfs/AccessHandlePoolVFS.ts": {"SECTOR_SIZE = 4096", "HEADER_OFFSET_DATA = SECTOR_SIZE"},
		"adapter-cloudflare/src/create-store-do.ts":           {"export const createStoreDo = ", "resetPersistence?: boolean", "clientId: string", "sessionId: string"},
		"adapter-cloudflare/src/make-adapter.ts":              {"`state${suffix}@${liveStoreStorageFormatVersion}.db`", "'DELETE FROM vfs_pages'", "'DELETE FROM eventlog'", "'DELETE FROM __livestore_sync_status'", "'manual' ? 'fixed'"},
		"sqlite-wasm/src/cf/CloudflareDurableObjectVFS.ts":    {"CREATE TABLE IF NOT EXISTS vfs_pages", "file_path TEXT", "page_no INTEGER", "page_data BLOB", "new URL(nameOrURL, 'file://localhost/')"},
		"sync-cf/src/cf-worker/do/sqlite.ts":                  {"`context_${PERSISTENCE_FORMAT_VERSION}`", "`eventlog_${PERSISTENCE_FORMAT_VERSION}_$storeId`"},
	} {
		source := read(filepath.FromSlash(path))
		for _, fact := range says {
			if !strings.Contains(source, fact) {
				t.Errorf("%s does not say %s any more: the guides, which do, must be read against it", path, fact)
			}
		}
	}
}
