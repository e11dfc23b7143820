package corrective

import (
	"context"
	"errors"
	"path/filepath"
	"regexp"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/replay/state"
	"headgate/internal/livestore/script"
)

// An Outcome says whether a release with corrections makes of a log what they say.
type Outcome struct {
	// Corrected counts the events that each correction matches, by name.
	Corrected map[string]int64 `json:"corrected"`
	// Replayed is true where the states were made: without corrections always, otherwise where they match an event.
	Replayed bool `json:"replayed"`
	// Wrong are the tables that are not as intended: A is what the corrected release makes, B what it should.
	Wrong []state.TableDiff `json:"wrong"`
	// Changed are the tables that differ from what the bad release made: A is that, B what the corrected one makes. It is
	// empty where the bad release can't make a state of the log.
	Changed []state.TableDiff `json:"changed"`
	// Poison is the event that one of the releases fails on. Nothing is proven then, unless it is the bad one.
	Poison        *replay.Poison `json:"poison,omitempty"`
	PoisonRelease string         `json:"poisonRelease,omitempty"`
	NotDerivable  []string       `json:"notDerivable"`
	Unverifiable  []string       `json:"unverifiable"`
}

// Right reports whether the corrected release does what was declared.
func (p Outcome) Right() bool { return len(p.Wrong) == 0 && p.Poison == nil }

// Count is how many events the corrections match.
func (p Outcome) Count() (n int64) {
	for _, c := range p.Corrected {
		n += c
	}
	return n
}

// A Trial says how [Prove] makes the states.
type Trial struct {
	Launcher  script.Launcher
	Corrected replay.Target  // the release to prove
	Base      replay.Target  // the same code without corrections
	Bad       *replay.Target // what clients run now; nil where nobody asks
	Dir       string         // private; the states lie here, each as large as the app's
	Options   replay.Options // Out is not used
	Diff      state.Options
}

// epochTable is what an epoch adds to the tables; it is always empty.
var epochTable = regexp.MustCompile(`^headgate_epoch_\d+$`)

// Prove replays a log under the corrected release, and compares the state with the one that the base release makes of the
// log as the corrections say that it should have been. A log without an event that they match is not replayed. Where there
// are no corrections, the fix is in the code, and the base release is one that did it right.
func Prove(ctx context.Context, log eventlog.Reader, c Corrections, t Trial) (Outcome, error) {
	out := Outcome{Corrected: map[string]int64{}, Wrong: []state.TableDiff{}, Changed: []state.TableDiff{}, NotDerivable: []string{}, Unverifiable: []string{}}
	corrector, err := c.Compile(ctx)
	if err != nil {
		return out, err
	}
	defer corrector.Close()
	for e, err := range log.Events(ctx, livestore.ClientSeq{}) {
		var bad *eventlog.Malformed
		if errors.As(err, &bad) {
			continue // the replay says so
		} else if err != nil {
			return out, err
		}
		name, err := corrector.Match(ctx, e)
		if err != nil {
			return out, err
		}
		if name != "" {
			out.Corrected[name]++
		}
	}
	if len(c.List) > 0 && len(out.Corrected) == 0 {
		return out, nil
	}
	out.Replayed = true
	is, should, was := t.Options, t.Options, t.Options
	is.Out, should.Out, was.Out = filepath.Join(t.Dir, "is.db"), filepath.Join(t.Dir, "should.db"), filepath.Join(t.Dir, "was.db")
	should.Checkpoints = nil // it is another log
	made, err := makeStates(ctx, t.Launcher, side{t.Corrected, log, is}, side{t.Base, corrector.Log(log), should})
	if err != nil {
		return out, err
	}
	out.NotDerivable, out.Unverifiable = made.notDerivable, made.unverifiable
	if out.Poison, out.PoisonRelease = made.poison, made.poisonRelease; out.Poison != nil {
		return out, nil
	}
	if out.Wrong, err = made.compareApp(ctx, is.Out, should.Out, t.Diff); err != nil || t.Bad == nil {
		return out, err
	}
	before, err := makeStates(ctx, t.Launcher, side{*t.Bad, log, was})
	if err != nil || before.poison != nil {
		return out, err
	}
	out.Changed, err = made.compareApp(ctx, was.Out, is.Out, t.Diff)
	return out, err
}

// compareApp compares the tables of the app, without those of epochs.
func (s states) compareApp(ctx context.Context, a, b string, o state.Options) ([]state.TableDiff, error) {
	all, err := s.compare(ctx, a, b, o)
	out := []state.TableDiff{}
	for _, t := range all {
		if !epochTable.MatchString(t.Name) {
			out = append(out, t)
		}
	}
	return out, err
}
