// Command flagdtest answers with flagd's own Go evaluator: an oracle for rollout's differential test. It is a module of
// its own because flagd's many dependencies are none of headgate's. It reads one JSON document from standard input,
//
//	{"flagd": {…a flagd file…}, "cases": [{"flag": "event.A", "type": "string", "context": {"storeId": "s"}}]}
//
// with the types string, number and boolean, and writes one answer per case, in order: [{"variant": "v2", "value": "v2.A", "reason": "…", "error": "…"}].
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/open-feature/flagd/core/pkg/evaluator"
	"github.com/open-feature/flagd/core/pkg/logger"
	"github.com/open-feature/flagd/core/pkg/store"
	"github.com/open-feature/flagd/core/pkg/sync"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

type question struct {
	Flagd json.RawMessage `json:"flagd"`
	Cases []struct {
		Flag    string         `json:"flag"`
		Type    string         `json:"type"`
		Context map[string]any `json:"context"`
	} `json:"cases"`
}

type answer struct {
	Variant string `json:"variant"`
	Value   any    `json:"value"`
	Reason  string `json:"reason"`
	Error   string `json:"error,omitempty"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "flagdtest:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	var q question
	if err := json.NewDecoder(in).Decode(&q); err != nil {
		return err
	}
	core, warnings := observer.New(zapcore.WarnLevel)
	log := logger.NewLogger(zap.New(core), false)
	flags, err := store.NewStore(log, []string{"file"})
	if err != nil {
		return err
	}
	eval := evaluator.NewJSON(log, flags)
	if err := eval.SetState(sync.DataSync{FlagData: string(q.Flagd), Source: "file"}); err != nil {
		return err
	}
	// flagd only warns about a file that its schema refuses.
	if w := warnings.All(); len(w) > 0 {
		return fmt.Errorf("flagd warns: %s", w[0].Message)
	}
	answers := make([]answer, 0, len(q.Cases))
	for _, c := range q.Cases {
		var a answer
		var err error
		switch ctx := context.Background(); c.Type {
		case "number":
			a.Value, a.Variant, a.Reason, _, err = eval.ResolveIntValue(ctx, "", c.Flag, c.Context)
		case "boolean":
			a.Value, a.Variant, a.Reason, _, err = eval.ResolveBooleanValue(ctx, "", c.Flag, c.Context)
		default:
			a.Value, a.Variant, a.Reason, _, err = eval.ResolveStringValue(ctx, "", c.Flag, c.Context)
		}
		if err != nil {
			a.Error = err.Error()
		}
		answers = append(answers, a)
	}
	return json.NewEncoder(out).Encode(answers)
}
