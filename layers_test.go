package headgate_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "headgate"

// layers says what each package may import of this module. A pattern that ends in /... stands for everything below.
// A package that is not here fails the test: its place must be decided, and drawn in CONTRIBUTING.md if it is new.
func layers() map[string][]string {
	domain := []string{"planner", "internal/livestore", "internal/livestore/...", "internal/errs", "internal/atomicfile"}
	adapter := slices.Concat(domain, []string{"corrective", "migrations", "rollout"})
	backend := []string{"internal/livestore/eventlog", "internal/livestore", "internal/errs", "internal/atomicfile"}
	return map[string][]string{
		"headgate":                        {}, // this test
		"cmd/headgate":                    {"cmd/headgate/internal/cli"},
		"cmd/headgate/internal/cli":       {"cmd/headgate/internal/...", "corrective", "corrective/...", "migrations", "rollout", "rollout/...", "planner", "internal/..."},
		"cmd/headgate/internal/operate":   {"cmd/headgate/internal/config", "cmd/headgate/internal/suggest", "planner", "rollout", "rollout/observe", "internal/control", "internal/jobs", "internal/livestore", "internal/livestore/schema", "internal/livestore/eventlog", "internal/livestore/eventlog/dumplog", "internal/livestore/eventlog/transfer", "internal/errs", "internal/atomicfile"},
		"cmd/headgate/internal/api":       {"cmd/headgate/internal/operate", "rollout", "internal/control", "internal/errs"},
		"cmd/headgate/internal/remote":    {"cmd/headgate/internal/api", "cmd/headgate/internal/operate", "rollout", "internal/control", "internal/errs"},
		"cmd/headgate/internal/server":    {"cmd/headgate/internal/api", "cmd/headgate/internal/dashboard", "cmd/headgate/internal/config", "cmd/headgate/internal/operate", "cmd/headgate/internal/webhook", "corrective", "migrations", "rollout", "rollout/...", "planner", "internal/..."},
		"cmd/headgate/internal/webhook":   {"internal/control", "internal/errs"},
		"cmd/headgate/internal/dashboard": {"cmd/headgate/internal/api", "cmd/headgate/internal/operate", "rollout", "internal/control", "internal/errs"},
		"cmd/headgate/internal/config":    {"cmd/headgate/internal/suggest", "internal/livestore", "internal/errs"},
		"cmd/headgate/internal/discover":  {"internal/errs"},
		"cmd/headgate/internal/suggest":   {},

		"corrective":        domain, // corrective, migrations and rollout never import each other
		"corrective/doctor": append([]string{"corrective"}, domain...),
		"migrations":        domain,
		"rollout":           domain,
		"rollout/ofrep":     append([]string{"rollout"}, domain...),
		"rollout/observe":   {"internal/errs"},

		"planner": {"internal/livestore/schema", "internal/livestore", "internal/errs"},

		"internal/control":             adapter,
		"internal/control/controltest": append([]string{"internal/control"}, adapter...),
		"internal/jobs":                append([]string{"internal/control"}, adapter...),
		"internal/codegen":             {"internal/livestore/schema", "internal/livestore", "internal/errs", "internal/atomicfile"},
		"internal/atomicfile":          {"internal/errs"},
		"internal/inventory":           {"internal/livestore", "internal/errs"},
		"internal/testenv":             {},

		"internal/livestore/replay":                {"internal/livestore/replay/state", "internal/livestore/engine", "internal/livestore/script", "internal/livestore/eventlog", "internal/livestore/schema", "internal/livestore", "internal/errs", "internal/atomicfile"},
		"internal/livestore/replay/state":          {"internal/livestore/engine", "internal/livestore", "internal/errs"},
		"internal/livestore/probe":                 {"internal/livestore/payload", "internal/livestore/engine", "internal/livestore/script", "internal/livestore/eventlog", "internal/livestore/schema", "internal/livestore", "internal/errs"},
		"internal/livestore/bundle":                {"internal/livestore/probe", "internal/livestore/payload", "internal/livestore/engine", "internal/livestore/script", "internal/livestore/schema", "internal/livestore", "internal/errs", "internal/atomicfile"},
		"internal/livestore/engine":                {"internal/livestore/script", "internal/livestore/schema", "internal/livestore", "internal/errs"},
		"internal/livestore/script":                {"internal/livestore", "internal/errs", "internal/atomicfile"},
		"internal/livestore/payload":               {"internal/livestore/schema", "internal/livestore", "internal/errs"},
		"internal/livestore/eventlog":              {"internal/livestore", "internal/errs"},
		"internal/livestore/eventlog/filelog":      backend,
		"internal/livestore/eventlog/dumplog":      backend,
		"internal/livestore/eventlog/eventsql":     append([]string{"internal/livestore/engine"}, backend...),
		"internal/livestore/eventlog/cflog":        backend,
		"internal/livestore/eventlog/pglog":        backend,
		"internal/livestore/eventlog/transfer":     append([]string{"internal/livestore/eventlog/dumplog"}, backend...),
		"internal/livestore/eventlog/openlog":      append([]string{"internal/livestore/eventlog/..."}, backend...),
		"internal/livestore/eventlog/loggen":       append([]string{"internal/livestore/eventlog/..."}, backend...),
		"internal/livestore/eventlog/eventlogtest": backend,
		"internal/livestore/schema":                {"internal/livestore", "internal/errs"},
		"internal/livestore":                       {},
		"internal/errs":                            {},
	}
}

// onlyImporter names the one package that may import a big dependency.
func onlyImporter() map[string]string {
	return map[string]string{
		"github.com/evanw/esbuild":    "internal/livestore/bundle",
		"modernc.org/quickjs":         "internal/livestore/script",
		"github.com/pressly/goose":    "internal/control",
		"github.com/riverqueue/river": "internal/jobs",
		"github.com/urfave/cli":       "cmd/headgate/internal/cli",
	}
}

// pure names packages without I/O, clock and randomness, and the foreign modules that they may use.
func pure() map[string][]string {
	return map[string][]string{
		"planner":                   {"github.com/hashicorp/go-version"},
		"internal/livestore/schema": {"github.com/hashicorp/go-version"},
		"internal/livestore":        {},
		"internal/errs":             {},
	}
}

// impure lists what a pure package must not import of the standard library. It may import time, for durations.
func impure() []string {
	return []string{"os", "os/...", "net", "net/...", "io/fs", "database/...", "math/rand", "math/rand/...", "crypto/rand", "syscall", "log", "log/...", "plugin", "unsafe"}
}

// testSupport names packages that only tests may import.
func testSupport() []string {
	return []string{"internal/testenv", "internal/livestore/eventlog/eventlogtest", "internal/control/controltest"}
}

func TestLayers(t *testing.T) {
	graph := imports(t)
	for _, p := range []string{"cmd/headgate", "internal/errs", "internal/livestore"} {
		if _, ok := graph[p]; !ok {
			t.Fatalf("go list does not know %s: the test looks at the wrong module", p)
		}
	}
	for _, broken := range check(graph) {
		t.Error(broken)
	}
}

// check returns every import in graph (package to imports, this module's without its name) that breaks the picture.
func check(graph map[string][]string) []string {
	var broken []string
	complain := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	rules := layers()
	for _, p := range slices.Sorted(maps.Keys(graph)) {
		allowed, known := rules[p]
		if !known {
			complain("%s has no place in layers_test.go", p)
		}
		foreign, isPure := pure()[p]
		for _, imp := range graph[p] {
			own := isOwn(imp, graph)
			switch {
			case own && known && !matches(imp, allowed):
				complain("%s imports %s", p, imp)
			case own && slices.Contains(testSupport(), imp):
				complain("%s imports %s outside its tests", p, imp)
			case own:
			case isStandard(imp) && isPure && matches(imp, impure()):
				complain("%s is pure and imports %s", p, imp)
			case !isStandard(imp) && isPure && !slices.ContainsFunc(foreign, func(m string) bool { return under(imp, m) }):
				complain("%s is pure and imports %s", p, imp)
			}
			for dependency, importer := range onlyImporter() {
				if under(imp, dependency) && p != importer {
					complain("%s imports %s, which only %s may", p, imp, importer)
				}
			}
		}
	}
	return broken
}

// isOwn says whether an import is of this module: by its place in the graph or in the layers.
func isOwn(imp string, graph map[string][]string) bool {
	_, known := layers()[imp]
	_, there := graph[imp]
	return known || there
}

func isStandard(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	return !strings.Contains(first, ".")
}

func under(imp, prefix string) bool { return imp == prefix || strings.HasPrefix(imp, prefix+"/") }

func matches(imp string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		dir, all := strings.CutSuffix(p, "/...")
		return imp == p || all && strings.HasPrefix(imp, dir+"/")
	})
}

// imports asks the go command for the import graph without tests.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	graph := map[string][]string{}
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return graph
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		graph[name] = nil
		for _, imp := range p.Imports {
			graph[name] = append(graph[name], strings.TrimPrefix(imp, module+"/"))
		}
	}
}

func TestCheckCanFail(t *testing.T) {
	healthy := map[string][]string{
		"cmd/headgate":              {"os", "cmd/headgate/internal/cli"},
		"cmd/headgate/internal/cli": {"github.com/urfave/cli/v2", "planner", "internal/errs"},
		"planner":                   {"time", "github.com/hashicorp/go-version", "internal/errs", "internal/livestore/schema"},
		"internal/livestore/bundle": {"github.com/evanw/esbuild/pkg/api", "internal/livestore/script"},
		"internal/livestore/script": {"os/exec", "modernc.org/quickjs"},
		"internal/livestore/schema": {"internal/errs"},
		"internal/errs":             {"fmt"},
	}
	if broken := check(healthy); len(broken) > 0 {
		t.Errorf("a healthy graph: %q", broken)
	}
	for _, tc := range []struct{ pkg, imp, want string }{
		{"planner", "internal/livestore/bundle", "planner imports internal/livestore/bundle"},
		{"planner", "os", "planner is pure and imports os"},
		{"planner", "net/http", "planner is pure and imports net/http"},
		{"planner", "github.com/evanw/esbuild/pkg/api", "planner is pure and imports github.com/evanw/esbuild/pkg/api"},
		{"planner", "github.com/hashicorp/go-versioning", "planner is pure and imports github.com/hashicorp/go-versioning"},
		{"internal/errs", "internal/livestore", "internal/errs imports internal/livestore"},
		{"internal/errs", "golang.org/x/term", "internal/errs is pure and imports golang.org/x/term"},
		{"internal/livestore/replay", "modernc.org/quickjs", "internal/livestore/replay imports modernc.org/quickjs, which only internal/livestore/script may"},
		{"internal/livestore/schema", "planner", "internal/livestore/schema imports planner"},
		{"rollout", "migrations", "rollout imports migrations"},
		{"corrective", "rollout", "corrective imports rollout"},
		{"migrations", "internal/control", "migrations imports internal/control"},
		{"internal/control", "github.com/riverqueue/river", "internal/control imports github.com/riverqueue/river, which only internal/jobs may"},
		{"internal/livestore/eventlog/filelog", "internal/livestore/eventlog/dumplog", "internal/livestore/eventlog/filelog imports internal/livestore/eventlog/dumplog"},
		{"cmd/headgate/internal/cli", "internal/testenv", "cmd/headgate/internal/cli imports internal/testenv outside its tests"},
		{"internal/common", "fmt", "internal/common has no place in layers_test.go"},
	} {
		graph := maps.Clone(healthy)
		graph[tc.pkg] = append(slices.Clone(graph[tc.pkg]), tc.imp)
		if broken := check(graph); !slices.Contains(broken, tc.want) {
			t.Errorf("%s importing %s: %q, want %q", tc.pkg, tc.imp, broken, tc.want)
		}
	}
}
