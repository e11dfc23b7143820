package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore/bundle"
	"headgate/internal/livestore/probe"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/script"
)

// sandboxJobs are what this program does when it runs as its own sandbox, see package script.
func sandboxJobs() script.Jobs {
	return script.Jobs{
		bundle.DescribeJob:   bundle.JobDescribe,
		replay.Job:           replay.JobReplay,
		replay.LiveJob:       replay.JobLive,
		probe.DeterminismJob: probe.JobDeterminism,
		probe.EdgeJob:        probe.JobEdge,
		probe.MixedJob:       probe.JobMixed,
		probe.CompareJob:     probe.JobCompare,
		probe.DecodeJob:      probe.JobDecode,
		probe.IdentifyJob:    probe.JobIdentify,
	}
}

// launcher starts sandboxes: this same program, as a child. What they find out is kept in .headgate/cache beside
// headgate.yaml, by content, so that the same question is not asked twice.
func (a *app) launcher() (script.Launcher, error) {
	exe, err := os.Executable()
	if err != nil {
		return script.Launcher{}, errs.New(errs.Internal, "can't find headgate's own program file").Because(err)
	}
	l := script.Launcher{Exe: exe, Limits: script.DefaultLimits(), Compiled: a.compiled}
	if a.loaded != nil {
		l.Cache = &script.Cache{Dir: filepath.Join(a.loaded.Dir, ".headgate", "cache"), Program: programIdentity(exe), Now: a.now}
	}
	return l, nil
}

// compiled keeps bytecode, in a directory of the user's own if there is one: see [script.NewCompiled].
func compiled(lookupEnv func(string) (string, bool), now func() time.Time) *script.Compiled {
	exe, err := os.Executable()
	if err != nil {
		return script.NewCompiled(nil)
	}
	for _, place := range []struct{ variable, below string }{
		{"HEADGATE_CACHE", ""}, {"XDG_CACHE_HOME", "headgate"}, {"LocalAppData", "headgate"}, {"HOME", ".cache/headgate"},
	} {
		if dir, _ := lookupEnv(place.variable); filepath.IsAbs(dir) {
			return script.NewCompiled(&script.Cache{Dir: filepath.Join(dir, place.below), Program: programIdentity(exe), Now: now})
		}
	}
	return script.NewCompiled(nil)
}

// programIdentity tells this build from others: a released one by its version, any by its file.
func programIdentity(exe string) string {
	v := buildVersion()
	id := v.Version + " " + v.Commit
	if info, err := os.Stat(exe); err == nil {
		id += fmt.Sprintf(" %d %d", info.Size(), info.ModTime().UnixNano())
	}
	return id
}
