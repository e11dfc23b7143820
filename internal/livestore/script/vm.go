package script

import (
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"modernc.org/quickjs"
	"modernc.org/quickjs/intl"
)

//go:embed prelude.js
var prelude string

//go:embed web.js
var web string

//go:embed intl.js
var intlMore string

// VMOptions are what app code could observe of its surroundings.
type VMOptions struct {
	// Now is what the clock shows; it stands still.
	Now time.Time
	// Seed seeds Math.random and crypto.
	Seed uint32
}

// FixedNow is the clock of every run that does not ask for another one.
func FixedNow() time.Time { return time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC) }

// A VM is one JavaScript engine with the prelude loaded. It is used by one goroutine.
type VM struct {
	vm       *quickjs.VM
	limits   Limits
	guard    func(d time.Duration, what string) (done func())
	compiled map[[sha256.Size]byte][]byte // see Compiled
	calls    int                          // and loads, so far
}

// A FailureKind says how app code failed.
type FailureKind string

const (
	Threw    FailureKind = "threw"     // it threw
	TooLong  FailureKind = "too_long"  // it ran longer than Limits.Call
	TooLarge FailureKind = "too_large" // it needed more memory than Limits.Memory
)

// A Failure is an error of the app's code, with the stack at that point, innermost frame first.
type Failure struct {
	Kind    FailureKind `json:"kind"`
	Name    string      `json:"name"`
	Message string      `json:"message"`
	Stack   []Frame     `json:"stack,omitempty"`
}

// A Frame is a place in the evaluated script; Line and Column count from 1, 0 is unknown.
type Frame struct {
	Function string `json:"function"`
	File     string `json:"file"`
	Line     int    `json:"line"`
	Column   int    `json:"column"`
}

// Error returns the failure's name and message.
func (f *Failure) Error() string {
	switch {
	case f.Kind == TooLong && len(f.Stack) > 0 && f.Stack[0].Function != "":
		return fmt.Sprintf("%s (in function %s)", f.Message, f.Stack[0].Function)
	case f.Name != "" && f.Kind == Threw:
		return f.Name + ": " + f.Message
	}
	return f.Message
}

// maxFrames is how deep calls may nest: about what V8 allows, since apps were only ever run there.
const maxFrames = 10_000

// newVM makes an engine with the prelude loaded.
func newVM(opts VMOptions, s *Session) (*VM, error) {
	q, err := quickjs.NewVM()
	if err != nil {
		return nil, fmt.Errorf("start the JavaScript engine: %w", err)
	}
	limits := s.limits
	v := &VM{vm: q, limits: limits, guard: s.watch, compiled: s.compiled}
	q.SetMemoryLimit(uintptr(limits.Memory))
	q.SetMaxStackSize(maxFrames)
	if err := q.SetEvalTimeout(limits.Call); err != nil {
		v.Close()
		return nil, fmt.Errorf("limit the JavaScript engine: %w", err)
	}
	if err := intl.Register(q); err != nil {
		v.Close()
		return nil, fmt.Errorf("load Intl into the JavaScript engine: %w", err)
	}
	if opts.Now.IsZero() {
		opts.Now = FixedNow()
	}
	conf, err := json.Marshal(map[string]any{"now": opts.Now.UnixMilli(), "seed": opts.Seed})
	if err != nil {
		v.Close()
		return nil, err
	}
	if err := v.Load("prelude.js", "globalThis.__headgate_conf = "+strconv.Quote(string(conf))+";\n"+prelude+";\n"+web+";\n"+intlMore); err != nil {
		v.Close()
		return nil, fmt.Errorf("load the prelude: %w", err)
	}
	return v, nil
}

// Close frees the engine.
func (v *VM) Close() { _ = v.vm.Close() }

// Host makes fn callable from JavaScript as a global function from string to string. An error is thrown there.
func (v *VM) Host(name string, fn func(arg string) (string, error)) error {
	return v.vm.RegisterHostFunc(name, func(args []any) (any, error) {
		if len(args) == 0 {
			return fn("")
		}
		s, ok := args[0].(string)
		if !ok {
			return nil, fmt.Errorf("%s wants a string", name)
		}
		return fn(s)
	})
}

// Load evaluates a script in the global scope and runs the promise jobs that it left.
func (v *VM) Load(name, code string) error {
	defer v.guard(v.limits.Call, name)()
	v.relax()
	var val quickjs.Value
	var err error
	if c := v.compiled[sha256.Sum256([]byte(code))]; c != nil {
		val, err = v.vm.EvalBytecodeValue(c)
	} else {
		val, err = v.vm.EvalValue(code, quickjs.EvalGlobal)
	}
	if err != nil {
		return v.failure(err)
	}
	val.Free()
	if _, err := v.vm.ExecutePendingJobs(); err != nil {
		return v.failure(err)
	}
	return nil
}

// gcHeadroom is how much the heap may grow between two searches for garbage in cycles; all other garbage goes at once.
// QuickJS by itself would search whenever the heap has grown by half, which costs a fifth of the time.
const gcHeadroom = 96 << 20

// relaxEvery is how many calls share a putting off: a heap that is larger than the headroom is not searched at each call.
const relaxEvery = 16

// relax puts the next search off. QuickJS sets its own threshold after each one.
func (v *VM) relax() {
	if v.calls++; v.calls%relaxEvery != 1 {
		return
	}
	if room := v.limits.Memory / 4; room > 0 {
		v.vm.SetGCThreshold(uintptr(min(room, gcHeadroom)))
	}
}

// Evaluated says that the app's modules are evaluated: what the prelude can only approximate (see intl.js) throws from
// now on.
func (v *VM) Evaluated() error {
	_, err := v.Call("__headgate_evaluated", "")
	return err
}

// Call calls a global function with one string and returns the string that it returns.
func (v *VM) Call(function, arg string) (string, error) {
	defer v.guard(v.limits.Call, function)()
	v.relax()
	r, err := v.vm.Call(function, arg)
	if err != nil {
		return "", v.failure(err)
	}
	s, ok := r.(string)
	if !ok {
		return "", fmt.Errorf("%s returned %T, not a string", function, r)
	}
	return s, nil
}

var frameLine = regexp.MustCompile(`^\s*at (?:(.*?) )?\(?([^()\s]*?)(?::(\d+))?(?::(\d+))?\)?$`)

// ParseStack reads QuickJS's stack trace, one frame a line.
func ParseStack(s string) []Frame {
	var out []Frame
	for line := range strings.Lines(s) {
		m := frameLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil {
			continue
		}
		f := Frame{Function: m[1], File: m[2]}
		f.Line, _ = strconv.Atoi(m[3])
		f.Column, _ = strconv.Atoi(m[4])
		if f.Function == "<anonymous>" || f.Function == "<eval>" {
			f.Function = ""
		}
		out = append(out, f)
	}
	return out
}

func (v *VM) failure(err error) error {
	var q *quickjs.Error
	if !errors.As(err, &q) {
		return err
	}
	f := &Failure{Kind: Threw, Name: q.Name, Message: q.Message, Stack: ParseStack(q.Stack)}
	if q.LineNumber > 0 {
		f.Stack = append([]Frame{{File: q.FileName, Line: q.LineNumber, Column: q.ColumnNumber}}, f.Stack...)
	}
	switch {
	case q.Name == "InternalError" && q.Message == "interrupted":
		f.Kind = TooLong
		f.Message = fmt.Sprintf("it ran longer than %s", v.limits.Call)
	case q.Name == "InternalError" && q.Message == "out of memory":
		f.Kind = TooLarge
		f.Message = fmt.Sprintf("it needed more than %d MiB of memory", v.limits.Memory>>20)
	}
	return f
}
