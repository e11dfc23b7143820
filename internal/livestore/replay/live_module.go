package replay

import (
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/script"
)

// ModuleDriver is the JavaScript that is bundled around a [Module]. It requires headgate:module.
//
//go:embed live_module.js
var ModuleDriver string

// A Module is a script that makes events of what it reads in a state: a migration that is written in TypeScript. It
// runs in a VM of its own, beside the release's, and a new one each time, so that nothing of a run is left for the next.
type Module struct {
	Code string `json:"code"` // bundled with [ModuleDriver]
	// Rules are the events that it may yield, by name.
	Rules map[string]ModuleRule `json:"rules,omitempty"`
}

// A ModuleRule names an event's arguments: all of them, those that must be there, and those that must not be null.
type ModuleRule struct {
	Fields []string `json:"fields"`
	Needed []string `json:"needed"`
	Key    []string `json:"key"`
	Open   bool     `json:"open,omitempty"` // others are admitted, too
}

// Exports evaluates a module's code in a sandbox, with no state, and returns its exports as JSON: the class of the default
// export ("GeneratorFunction"), {"entries": [[key, value], …]} for an object, else the value. What the module
// throws is a [*script.Failure].
func Exports(ctx context.Context, l script.Launcher, code string) (map[string]json.RawMessage, error) {
	return script.Run[map[string]json.RawMessage](ctx, l, LiveJob, liveParams{Module: &Module{Code: code}, Describe: true})
}

func describeModule(s *script.Session, m Module) (any, error) {
	none := func(string) (string, error) {
		return "", errors.New("there is no state while the module is evaluated: query and uuid5 are the generator's arguments")
	}
	vm, err := openModule(s, m, none, none)
	if err != nil {
		return nil, err
	}
	defer vm.Close()
	text, err := vm.Call("__headgate_module_describe", "")
	return json.RawMessage(text), err
}

func openModule(s *script.Session, m Module, query, uuid5 func(string) (string, error)) (*script.VM, error) {
	vm, err := s.NewVM(script.VMOptions{})
	if err != nil {
		return nil, err
	}
	err = errors.Join(vm.Host("__headgate_query", query), vm.Host("__headgate_uuid5", uuid5))
	if err == nil {
		err = vm.Load("module", m.Code)
	}
	if err == nil {
		err = vm.Evaluated()
	}
	if err != nil {
		vm.Close()
		return nil, err
	}
	return vm, nil
}

// A moduleQuery is a text that the module queries with, when it first did, and the trace of that call.
type moduleQuery struct {
	SQL   string `json:"sql"`
	Trace string `json:"trace"`
}

// Generate runs the module of the Live's options on the state as it is. query is called with each text that the module
// queries with, once, and the trace of that call, before event is called with what came of it. What the module throws,
// and what it yields against its rules, is a [*script.Failure]. The state can't be changed by it.
func (v *Live) Generate(query func(sql, trace string) error, event func(name string, args json.RawMessage) error) error {
	var failed *script.Failure
	err := v.ask([]byte{0, frameModule}, func(a liveAnswer) error {
		failed = a.Failure
		for _, q := range a.Queries {
			if err := query(q.SQL, q.Trace); err != nil {
				return err
			}
		}
		for _, e := range a.Events {
			var name string
			var args json.RawMessage
			if err := json.Unmarshal(e, &[]any{&name, &args}); err != nil {
				return fmt.Errorf("decode an event: %w", err)
			}
			if err := event(name, args); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && failed != nil {
		return failed
	}
	return err
}

// A moduleRun is one run of a module in the child.
type moduleRun struct {
	*liveChild
	queries []moduleQuery // since the last part of the answer
	texts   int
	trouble error // the machine's, met during a query
}

// readOnly is what SQLite says where query_only keeps a statement from writing.
const readOnly = 8

// maxTexts is how many different queries a module may make: more mean that it writes values into them.
const maxTexts = 1000

// runModule answers with the events in parts. Each part is one call into the module, which is what the sandbox limits.
func (c *liveChild) runModule() (a liveAnswer, err error) {
	if c.module == nil {
		return a, errors.New("there is no module")
	}
	if err := c.exec("PRAGMA query_only=ON"); err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, c.exec("PRAGMA query_only=OFF")) }()
	r := &moduleRun{liveChild: c}
	err = r.all(&a)
	a.Queries, r.queries = r.queries, nil
	var f *script.Failure
	switch {
	case r.trouble != nil:
		return a, r.trouble
	case errors.As(err, &f):
		a.Failure, err = f, nil
	}
	return a, err
}

func (r *moduleRun) all(last *liveAnswer) error {
	vm, err := openModule(r.session, *r.module, r.query, func(name string) (string, error) { return engine.UUID5(r.namespace, name), nil })
	if err != nil {
		return err
	}
	defer vm.Close()
	rules, err := json.Marshal(r.module.Rules)
	if err != nil {
		return err
	}
	if _, err := vm.Call("__headgate_module_begin", string(rules)); err != nil {
		return err
	}
	for most := firstBatch; ; {
		start := time.Now() //nolint:forbidigo // a stopwatch: sizes the next part, decides nothing
		text, err := vm.Call("__headgate_module_next", strconv.Itoa(most))
		if err != nil || r.trouble != nil {
			return err
		}
		if took := time.Since(start); took < batchTime {
			most = min(most*2, 1024)
		} else {
			most = max(most/2, 1)
		}
		var part struct {
			Done   bool              `json:"done"`
			Events []json.RawMessage `json:"events"`
		}
		if err := json.Unmarshal([]byte(text), &part); err != nil {
			return fmt.Errorf("decode what the module yielded: %w", err)
		}
		if part.Done {
			last.Events = part.Events
			return nil
		}
		if err := r.session.Send(liveAnswer{Events: part.Events, Queries: r.queries}); err != nil {
			return err
		}
		r.queries = nil
	}
}

// query serves the module. What it asks is looked at by the parent, too, before anything comes of it: here only what
// query_only would let pass is refused.
func (r *moduleRun) query(request string) (string, error) {
	var q struct {
		SQL   string       `json:"sql"`
		Binds engine.Binds `json:"binds"`
		Trace string       `json:"trace"`
	}
	if err := json.Unmarshal([]byte(request), &q); err != nil {
		return "", err
	}
	if q.Trace != "" {
		if r.texts++; r.texts > maxTexts {
			return refusal(fmt.Sprintf("the module queries with more than %d different texts: give values as parameters, query('… WHERE id = ?', id)", maxTexts))
		}
		r.queries = append(r.queries, moduleQuery{q.SQL, q.Trace})
	}
	if !reads(q.SQL) {
		return refusal("only a query can stand here (SELECT, WITH or VALUES)")
	}
	var columns []string
	b := []byte(`"rows":[`)
	err := r.db.Query(q.SQL, q.Binds, func(names []string, values []any) error {
		if columns != nil {
			b = append(b, ',')
		}
		columns = names
		b = append(b, '[')
		for i, v := range values {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendWire(b, v)
		}
		b = append(b, ']')
		return nil
	})
	var se *engine.SQLError
	switch {
	case errors.As(err, &se) && (!se.Machine() || se.Code&0xff == readOnly):
		return refusal(se.Msg)
	case err != nil:
		r.trouble = err
		return "", err
	}
	names, err := json.Marshal(columns)
	if err != nil {
		return "", err
	}
	return `{"columns":` + string(names) + "," + string(b) + "]}", nil
}

func refusal(message string) (string, error) {
	b, err := json.Marshal(map[string]string{"error": message})
	return string(b), err
}

// reads reports whether a statement begins as a query does. PRAGMA could turn query_only off.
func reads(sql string) bool {
	for {
		sql = strings.TrimLeft(sql, " \t\r\n\f")
		end := ""
		switch {
		case strings.HasPrefix(sql, "--"):
			end = "\n"
		case strings.HasPrefix(sql, "/*"):
			end = "*/"
		default:
			word := strings.ToLower(sql[:min(len(sql), 6)])
			return word == "select" || word == "values" || strings.HasPrefix(word, "with")
		}
		_, rest, found := strings.Cut(sql[2:], end)
		if !found {
			return false
		}
		sql = rest
	}
}

// appendWire appends what the driver makes a value of JavaScript of: an integer that a number can't hold is a BigInt.
func appendWire(b []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		if v > 1<<53-1 || v < -(1<<53-1) {
			return append(strconv.AppendInt(append(b, `{"$":"int","v":"`...), v, 10), `"}`...)
		}
		return strconv.AppendInt(b, v, 10)
	case float64:
		switch {
		case math.IsInf(v, 1):
			return append(b, `{"$":"inf","v":"+"}`...)
		case math.IsInf(v, -1):
			return append(b, `{"$":"inf","v":"-"}`...)
		}
		return strconv.AppendFloat(b, v, 'g', -1, 64)
	case string:
		text, err := json.Marshal(v)
		if err != nil {
			return append(b, `""`...) // a string always encodes
		}
		return append(b, text...)
	case []byte:
		return append(base64.StdEncoding.AppendEncode(append(b, `{"$":"blob","v":"`...), v), `"}`...)
	}
	return append(b, "null"...)
}
