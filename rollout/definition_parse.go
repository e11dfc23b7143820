package rollout

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
)

const definitionHelp = "headgate help rollout-file"

// ReadDefinition parses the rollout's file at path.
func ReadDefinition(path string) (*Definition, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.NotFoundf("there is no such rollout").At("%s", path).
			Hintf("`headgate rollout create EVENT --to v2` drafts one from the recorded releases").Then("headgate rollout list")
	}
	if err != nil {
		return nil, errs.New(errs.Internal, "can't read the rollout").At("%s", path).Because(err).Hintf("make the file readable")
	}
	return ParseDefinition(data, path)
}

// ParseDefinition reads a rollout that stands at path, and checks everything that the file alone can tell.
func ParseDefinition(data []byte, path string) (*Definition, error) {
	if len(data) > MaxSize {
		return nil, errs.Invalidf("the file is larger than 1 MB").At("%s", path).Hintf("is this a rollout?").Then(definitionHelp)
	}
	d := decoder{file: path, help: definitionHelp, begin: "write `events:` and what opens below it"}
	root, err := d.root(data)
	if err != nil {
		return nil, err
	}
	def := &Definition{Name: strings.TrimSuffix(filepath.Base(path), ".yaml"), Path: path, OnFailure: PauseOnFailure, OnNoData: PauseOnNoData}
	if !keyPattern.MatchString(def.Name) {
		return nil, errs.Invalidf("the file's name %q has other characters than letters, digits, - and _", def.Name).At("%s", path).Then(definitionHelp)
	}
	err = d.mapping(root, "", map[string]field{
		"schema":    d.value(func(s string) error { def.Schema = s; return nil }, ""),
		"events":    {required: true, read: func(n *yaml.Node, p string) error { return d.families(n, p, def) }},
		"floor":     d.value(func(s string) error { def.Floor = s; return checkFloor(s) }, "write the first release that defines and materializes the events: 1.5.0"),
		"horizon":   d.duration(&def.Horizon),
		"steps":     {required: true, read: func(n *yaml.Node, p string) error { return d.steps(n, p, def) }},
		"analysis":  {read: func(n *yaml.Node, p string) error { return d.templates(n, p, def) }},
		"onFailure": word(d, &def.OnFailure, PauseOnFailure, AbortOnFailure),
		"onNoData":  word(d, &def.OnNoData, PauseOnNoData, PassOnNoData, FailOnNoData),
		"freeze":    {read: func(n *yaml.Node, p string) error { return d.windows(n, p, def) }},
		"approvals": {read: func(n *yaml.Node, p string) error {
			return d.mapping(n, p, map[string]field{"ramp": d.count(&def.Approvals.Ramp, 0), "full": d.count(&def.Approvals.Full, 0)})
		}},
		"waivers": {read: func(n *yaml.Node, p string) error { return d.waivers(n, p, def) }},
		"confirm": {read: func(n *yaml.Node, p string) (err error) { def.Confirm, err = d.confirm(n, p); return err }},
	})
	if err != nil {
		return nil, err
	}
	return def, d.checkDefinition(def)
}

func (d decoder) families(n *yaml.Node, p string, def *Definition) error {
	err := d.named(n, p, func(key, value *yaml.Node, p string) error {
		f := Family{Name: key.Value, Line: key.Line}
		if !keyPattern.MatchString(f.Name) {
			return d.errorf(key, "%s: an event family's name has letters, digits, - and _", p).Hintf("write it without its version: TodoCreated")
		}
		version := func(into *string) field {
			out := d.value(func(s string) error {
				*into = s
				if !versionPattern.MatchString(s) && !(into == &f.From && s == Off) {
					return fmt.Errorf("%q is not a version of an event", s)
				}
				return nil
			}, "write the part before the dot: v2 for v2."+f.Name+"; from: off where there is no older version")
			out.required = true
			return out
		}
		if err := d.mapping(value, p, map[string]field{"from": version(&f.From), "to": version(&f.To)}); err != nil {
			return err
		}
		if versionNumber(f.From) >= versionNumber(f.To) {
			return d.errorf(key, "%s goes from %s to %s", p, f.From, f.To).Hintf("a rollout opens a newer version; `headgate rollout undo` goes back")
		}
		def.Events = append(def.Events, f)
		return nil
	})
	if err == nil && len(def.Events) == 0 {
		return d.errorf(n, "%s is empty", p).Hintf("name what opens: `TodoCreated: {from: v1, to: v2}`")
	}
	return err
}

func (d decoder) steps(n *yaml.Node, p string, def *Definition) error {
	err := d.list(n, p, func(n *yaml.Node, p string) error {
		s := Step{Line: resolve(n).Line}
		weight := d.value(func(text string) error {
			w, ok := ParsePercent(text)
			if !ok || w == 0 {
				return fmt.Errorf("%q is not a percentage above 0", text)
			}
			s.Weight = w
			return nil
		}, "write a percentage of the stores up to 100, with three decimals at most: 25 or 0.5")
		weight.required = true
		pause := d.value(func(text string) (err error) {
			if s.Manual = text == "manual"; !s.Manual {
				s.Pause, err = parseDuration(text)
			}
			return err
		}, "write how long the step lasts, 1h or 2d, or manual to wait for `headgate rollout promote`")
		pause.required = true
		err := d.mapping(n, p, map[string]field{
			"weight": weight, "pause": pause,
			"confirm": {read: func(n *yaml.Node, p string) (err error) { s.Confirm, err = d.confirm(n, p); return err }},
			"analysis": {read: func(n *yaml.Node, p string) error {
				return d.list(n, p, func(n *yaml.Node, p string) error {
					name, err := d.text(n, p)
					if err == nil && slices.Contains(s.Analysis, name) {
						return d.errorf(n, "%s: %s is there twice", p, name)
					}
					s.Analysis = append(s.Analysis, name)
					return err
				})
			}},
		})
		if err != nil {
			return err
		}
		if i := len(def.Steps) - 1; i >= 0 && def.Steps[i].Weight >= s.Weight {
			return d.errorf(n, "%s.weight is %s, the step before has %s", p, s.Weight, def.Steps[i].Weight).Hintf("weights rise from step to step")
		}
		def.Steps = append(def.Steps, s)
		return nil
	})
	if err == nil && len(def.Steps) == 0 {
		return d.errorf(n, "%s is empty", p).Hintf("begin with few stores: `- {weight: 1, pause: 1d}`")
	}
	return err
}

func (d decoder) templates(n *yaml.Node, p string, def *Definition) error {
	return d.named(n, p, func(key, value *yaml.Node, p string) error {
		t := Template{Name: key.Value, ConsecutiveErrorLimit: 4, Line: key.Line}
		text := func(into *string) field { return d.value(func(s string) error { *into = s; return nil }, "") }
		err := d.mapping(value, p, map[string]field{
			"signal": word(d, &t.Signal, Signals()...), "for": d.duration(&t.For),
			"prometheus": {read: func(n *yaml.Node, p string) (err error) { t.Prometheus, err = d.prometheus(n, p); return err }},
			"command": {read: func(n *yaml.Node, p string) error {
				return d.list(n, p, func(n *yaml.Node, p string) error {
					word, err := d.text(n, p)
					t.Command = append(t.Command, word)
					return err
				})
			}},
			"interval": d.duration(&t.Interval), "initialDelay": d.duration(&t.InitialDelay), "count": d.count(&t.Count, 1),
			"successCondition": text(&t.SuccessCondition), "failureCondition": text(&t.FailureCondition),
			"failureLimit": d.count(&t.FailureLimit, 0), "inconclusiveLimit": d.count(&t.InconclusiveLimit, 0),
			"consecutiveErrorLimit": d.count(&t.ConsecutiveErrorLimit, 0), "consecutiveSuccessLimit": d.count(&t.ConsecutiveSuccessLimit, 1),
			"onNoData": word(d, &t.OnNoData, PauseOnNoData, PassOnNoData, FailOnNoData),
		})
		if err != nil {
			return err
		}
		if err := d.provider(key, p, &t); err != nil {
			return err
		}
		switch {
		case t.SuccessCondition == "" && t.FailureCondition == "":
			return d.errorf(key, "%s has neither successCondition nor failureCondition", p).Hintf("without one everything succeeds: `failureCondition: result > 0.01`")
		case t.Interval == 0 && t.Count != 1:
			return d.errorf(key, "%s.interval is missing", p).Hintf("add how long to wait between two measurements, 5m, or `count: 1`")
		}
		if err := t.compile(); err != nil {
			return d.errorf(key, "%s.%s", p, err).Hintf("a condition is a boolean over result: result < 0.01, or all(result, # < 0.01); with signal: over baseline, too")
		}
		def.Analysis = append(def.Analysis, t)
		return nil
	})
}

func (d decoder) windows(n *yaml.Node, p string, def *Definition) error {
	return d.list(n, p, func(n *yaml.Node, p string) error {
		w := Window{Zone: time.UTC, Line: resolve(n).Line}
		schedule := d.value(func(s string) (err error) {
			w.Cron = s
			w.cron, err = parseCron(s)
			return err
		}, "each minute that fits is frozen: \"* 18-23 * * fri\" is Friday from 18:00 on, \"* * 24-26 12 *\" is Christmas")
		reason := d.value(func(s string) error { w.Reason = s; return nil }, "")
		schedule.required, reason.required = true, true
		err := d.mapping(n, p, map[string]field{
			"cron": schedule, "reason": reason,
			"zone": d.value(func(s string) (err error) {
				if w.Zone, err = time.LoadLocation(s); err != nil || s == "Local" {
					return fmt.Errorf("%q is not a time zone", s)
				}
				return nil
			}, "write a name of the IANA database: Europe/Berlin; the default is UTC"),
		})
		def.Freeze = append(def.Freeze, w)
		return err
	})
}

func (d decoder) waivers(n *yaml.Node, p string, def *Definition) error {
	return d.list(n, p, func(n *yaml.Node, p string) error {
		w := Waiver{Line: resolve(n).Line}
		pattern := func(into *string) field {
			return d.value(func(s string) error {
				*into = s
				if _, err := path.Match(s, ""); err != nil {
					return fmt.Errorf("%q is no pattern", s)
				}
				return nil
			}, "* stands for any characters, ? for one: test-*")
		}
		text := func(into *string) field {
			f := d.value(func(s string) error { *into = s; return nil }, "")
			f.required = true
			return f
		}
		expires := d.value(func(s string) (err error) {
			if w.Expires, err = time.Parse(time.DateOnly, s); err != nil {
				return fmt.Errorf("%q is not a date", s)
			}
			return nil
		}, "write year, month and day: 2027-03-31")
		expires.required = true
		err := d.mapping(n, p, map[string]field{
			"client": pattern(&w.Client), "store": pattern(&w.Store),
			"release": d.value(func(s string) error {
				w.Release = s
				if s == NoRelease {
					return nil
				}
				_, err := schema.ParseVersion(s)
				return err
			}, "write a release, 1.0.0, or none for clients that say none"),
			"reason": text(&w.Reason), "owner": text(&w.Owner), "expires": expires,
		})
		if err != nil {
			return err
		}
		kinds := 0
		for _, s := range []string{w.Client, w.Release, w.Store} {
			if s != "" {
				kinds++
			}
		}
		if kinds != 1 {
			return d.errorf(n, "%s must name one of client, release and store", p).Hintf("a waiver is for one thing")
		}
		def.Waivers = append(def.Waivers, w)
		return nil
	})
}

// checkDefinition checks what the parts say about each other.
func (d decoder) checkDefinition(def *Definition) error {
	for i := range def.Analysis {
		if t := &def.Analysis[i]; t.OnNoData == "" {
			t.OnNoData = def.OnNoData
		}
	}
	for i, s := range def.Steps {
		at := &yaml.Node{Line: s.Line}
		for _, name := range s.Analysis {
			t, ok := def.Template(name)
			if !ok {
				var names []string
				for _, t := range def.Analysis {
					names = append(names, t.Name)
				}
				hint := "write it below analysis:"
				if len(names) > 0 {
					hint = didYouMean(name, names)
				}
				return d.errorf(at, "steps[%d].analysis: there is no %q", i, name).Hintf("%s", hint)
			}
			if t.Count == 0 && s.Pause == 0 {
				return d.errorf(at, "steps[%d]: analysis %s has no count, and the step no pause that ends", i, name).Hintf("add `count:` to the analysis, or a duration to the step")
			}
		}
	}
	return nil
}

// duration reads 90d, 2w, or what Go understands, above 0.
func (d decoder) duration(into *time.Duration) field {
	return d.value(func(s string) (err error) {
		*into, err = parseDuration(s)
		return err
	}, "write a number and a unit: 90d, 12h, 30m, 2w")
}

func parseDuration(s string) (time.Duration, error) {
	for suffix, days := range map[string]int64{"d": 1, "w": 7} {
		number, ok := strings.CutSuffix(s, suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 1 || n > int64(math.MaxInt64)/int64(24*time.Hour)/days {
			return 0, fmt.Errorf("%q is not a duration", s)
		}
		return time.Duration(n*days) * 24 * time.Hour, nil
	}
	v, err := time.ParseDuration(s)
	if err != nil || v <= 0 {
		return 0, fmt.Errorf("%q is not a duration", s)
	}
	return v, nil
}

// count reads a number that is not below least.
func (d decoder) count(into *int, least int) field {
	return d.value(func(s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n < least || n > 1_000_000 {
			return fmt.Errorf("%q is not a number from %d on", s, least)
		}
		*into = n
		return nil
	}, "write a whole number")
}

// word reads one of a few words.
func word[W ~string](d decoder, into *W, words ...W) field {
	var names []string
	for _, w := range words {
		names = append(names, string(w))
	}
	return d.value(func(s string) error {
		*into = W(s)
		if !slices.Contains(words, *into) {
			return fmt.Errorf("%q is none of %s", s, strings.Join(names, ", "))
		}
		return nil
	}, "there are: "+strings.Join(names, ", "))
}
