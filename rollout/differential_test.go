package rollout_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-feature/go-sdk/openfeature"

	"headgate/internal/testenv"
)

// A question is a flag asked in a context; answer is flagd's, see flagdtest/main.go.
type question struct {
	Flag    string         `json:"flag"`
	Type    string         `json:"type"` // string, number or boolean
	Context map[string]any `json:"context"`
}

type answer struct {
	Variant, Reason, Error string
	Value                  any
}

// ask is what our own provider says.
func ask(t *testing.T, c *openfeature.Client, q question) answer {
	t.Helper()
	of := func(d openfeature.EvaluationDetails, value any, err error) answer {
		if err != nil {
			t.Fatalf("%s %v: %v", q.Flag, q.Context, err)
		}
		return answer{Variant: d.Variant, Reason: string(d.Reason), Value: value}
	}
	switch ctx := t.Context(); q.Type {
	case "number":
		d, err := c.IntValueDetails(ctx, q.Flag, -1, attributes(q.Context))
		return of(d.EvaluationDetails, float64(d.Value), err) // as JSON has it
	case "boolean":
		d, err := c.BooleanValueDetails(ctx, q.Flag, false, attributes(q.Context))
		return of(d.EvaluationDetails, d.Value, err)
	}
	d, err := c.StringValueDetails(t.Context(), q.Flag, "the caller's", attributes(q.Context))
	return of(d.EvaluationDetails, d.Value, err)
}

// TestFlagdGivesTheSame exports generated flags and asks flagd's own evaluators, in Go and in JavaScript, what they
// make of them: the same that our provider says, for every context. Both hold the file against flagd's schemas first.
func TestFlagdGivesTheSame(t *testing.T) {
	oracles := map[string]*exec.Cmd{
		"flagd/core (Go)":         exec.Command("go", "run", "."),
		"@openfeature/flagd-core": exec.Command("node", filepath.Join("testdata", "flagd.mjs"), testenv.Example(t, "todo")),
	}
	oracles["flagd/core (Go)"].Dir = "flagdtest" // a module of its own

	r := rand.New(rand.NewPCG(7, 2026))
	text := "flags:\n"
	var questions []question
	for i := range 60 {
		g := newGenerated(r, fmt.Sprintf("event.Family%d", i), "string")
		if i%6 == 0 {
			g = newGenerated(r, fmt.Sprintf("plain-%d", i), pick(r, "string", "number", "boolean"))
		}
		text += g.yaml
		for range 400 {
			questions = append(questions, question{g.key, g.kind, g.context(r)})
		}
	}
	raw, _ := exported(t, text)
	in, err := json.Marshal(map[string]any{"flagd": json.RawMessage(raw), "cases": questions})
	if err != nil {
		t.Fatal(err)
	}

	c := client(t, text)
	ours := make([]answer, len(questions))
	seen := map[string]int{}
	for i, q := range questions {
		ours[i] = ask(t, c, q)
		seen[ours[i].Variant+" "+ours[i].Reason]++
		seen[q.Type]++
	}
	for _, want := range []string{"v1 DEFAULT", "v1 SPLIT", "v2 SPLIT", "v3 SPLIT", "v4 SPLIT", "v1 TARGETING_MATCH", "v2 TARGETING_MATCH", "v3 TARGETING_MATCH", "v1 STATIC", " DISABLED", "number", "boolean"} {
		if seen[want] < 20 {
			t.Errorf("%q was the answer %d times in %v: the test proves little", want, seen[want], seen)
		}
	}

	for name, cmd := range oracles {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &stdout, &stderr
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%s", err, &stderr)
			}
			var theirs []answer
			if err := json.Unmarshal(stdout.Bytes(), &theirs); err != nil || len(theirs) != len(questions) {
				t.Fatalf("%d answers for %d questions: %v", len(theirs), len(questions), err)
			}
			for i, their := range theirs {
				our := ours[i]
				same := our.Variant == their.Variant && their.Error == "" &&
					(our.Variant == "" || our.Value == their.Value) &&
					(our.Reason == "DISABLED") == (their.Reason == "DISABLED")
				if !same {
					context, _ := json.Marshal(questions[i].Context)
					t.Fatalf("%s in %s: flagd says %+v, we say %s (%s)\n%s", questions[i].Flag, context, their, our.Variant, our.Reason, raw)
				}
			}
			t.Logf("%d evaluations agree", len(theirs))
		})
	}
}

// A generated flag, with what its contexts are made of.
type generated struct {
	key, kind, yaml string
	stores          []string
	floors          []string
}

func newGenerated(r *rand.Rand, key, kind string) *generated {
	g := &generated{key: key, kind: kind}
	family := strings.TrimPrefix(key, "event.")
	n := 1 + r.IntN(4)
	byDefault := 0
	if r.IntN(4) == 0 {
		byDefault = r.IntN(n)
	}
	state := "enabled"
	if r.IntN(12) == 0 {
		state = "disabled"
	}
	rest := 100_000
	major := 1
	variants := ""
	for i := range n {
		v := fmt.Sprintf("event: v%d.%s", i+1, family)
		switch {
		case kind == "number":
			v = fmt.Sprintf("value: %d", i*1000-1)
		case kind == "boolean":
			v = fmt.Sprintf("value: %t", i%2 == 1)
		case family == key: // a plain one
			v = fmt.Sprintf("value: text %d", i)
		}
		if i > byDefault {
			if r.IntN(4) > 0 { // else the floor of the one before
				major++
			}
			floor := fmt.Sprintf("%d.%d.0%s", major, r.IntN(2)*5, pick(r, "", "", "", "-0", "-beta.2"))
			if len(g.floors) > 0 && strings.HasPrefix(g.floors[len(g.floors)-1], fmt.Sprint(major, ".")) {
				floor = g.floors[len(g.floors)-1]
			}
			g.floors = append(g.floors, floor)
			v += ", floor: " + floor
		}
		if i != byDefault {
			p := min(rest, []int{0, 1000 * r.IntN(101), 100 * r.IntN(1000), r.IntN(100_000)}[r.IntN(4)])
			rest -= p
			v += fmt.Sprintf(", percent: %d.%03d", p/1000, p%1000)
		}
		if r.IntN(2) == 0 {
			a, b := fmt.Sprintf("listed-%d-a", i), fmt.Sprintf("listed_%d_b", i)
			g.stores = append(g.stores, a, b)
			v += fmt.Sprintf(", stores: [%s, %s]", a, b)
		}
		variants += fmt.Sprintf("      v%d: {%s}\n", i+1, v)
	}
	g.yaml = fmt.Sprintf("  %s:\n    state: %s\n    default: v%d\n    rollout: r\n    revision: %d\n    variants:\n%s", key, state, byDefault+1, 1+r.IntN(9), variants)
	return g
}

// context is what a caller of any kind sends. Left out is what the two evaluators read differently (blanks around a
// version, vv1.0.0, ids outside of ASCII), and a storeId that is not a string, which our provider refuses.
func (g *generated) context(r *rand.Rand) map[string]any {
	c := map[string]any{"targetingKey": "someone", "plan": "pro"}
	switch k := r.IntN(20); {
	case k == 0:
		c["storeId"] = ""
	case k == 1:
		c["storeId"] = nil
	case k == 2: // none
	case k < 7 && len(g.stores) > 0:
		c["storeId"] = g.stores[r.IntN(len(g.stores))]
	default:
		c["storeId"] = fmt.Sprintf("%s%d", pick(r, "s", "store-", "Tenant_", "0", "true"), r.IntN(1_000_000))
	}
	floor := "1.0.0"
	if len(g.floors) > 0 {
		floor = g.floors[r.IntN(len(g.floors))]
	}
	base, _, _ := strings.Cut(floor, "-")
	switch k := r.IntN(20); {
	case k == 0:
		c["appVersion"] = nil
	case k == 1: // none
	case k == 2:
		c["appVersion"] = pick[any](r, 1, 2, 1.5, 99, -1, true, false)
	case k < 6:
		c["appVersion"] = pick(r, "", "latest", "1.5.0.1", "01.5.0", "1.05", "1.5.", ".5", "1.5-beta", "1.5.0-01", "1.5.0-", "v", "-1", "1.x", "<nil>", "undefined", "null", "1,5,0")
	case k < 12:
		c["appVersion"] = base + pick(r, "", "-0", "-alpha", "-beta.1", "-beta.2", "-beta.10", "-rc.1", "+build.7", "-0+b", "-1", "--")
	default:
		c["appVersion"] = pick(r, "", "", "", "v", "V") + pick(r, "0.9.9", "1.0.0", "1.4.99", "1.5.0", "1.5.1-dev", "2.0.0", "2.4.9", "2.5.0", "3.1.4", "4.0.0-beta.1", "4.9.0", "5.5.5", "10.0.0", "1", "2", "3.5", "5.0")
	}
	return c
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }
