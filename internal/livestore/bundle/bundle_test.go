package bundle_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"headgate/internal/livestore/bundle"
	"headgate/internal/livestore/script"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == script.ChildArg {
		os.Exit(script.Child(context.Background(), os.Stdin, os.Stdout, script.Jobs{bundle.DescribeJob: bundle.JobDescribe}, os.Exit))
	}
	os.Exit(m.Run())
}

func TestTry(t *testing.T) {
	exe, _ := os.Executable()
	l := script.Launcher{Exe: exe, Limits: script.DefaultLimits()}
	t0 := time.Now()
	src := bundle.Source{Dir: "/work/main/examples/todo", Entry: "history/1.1.0/livestore/schema.ts", Queries: "history/1.1.0/livestore/queries.ts"}
	s, err := bundle.Build(src)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(len(s.Code), len(s.Map), s.Modules, s.Effect, time.Since(t0))
	t0 = time.Now()
	r, err := bundle.Describe(t.Context(), l, s, src)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(time.Since(t0))
	b, _ := json.MarshalIndent(r, "", "  ")
	os.WriteFile("/tmp/probe/try/r.json", b, 0o644)
}
