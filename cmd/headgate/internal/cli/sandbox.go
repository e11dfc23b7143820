package cli

import (
	"os"

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
		probe.DeterminismJob: probe.JobDeterminism,
		probe.EdgeJob:        probe.JobEdge,
		probe.MixedJob:       probe.JobMixed,
		probe.CompareJob:     probe.JobCompare,
		probe.DecodeJob:      probe.JobDecode,
	}
}

// launcher starts sandboxes: this same program, as a child.
func (a *app) launcher() (script.Launcher, error) {
	exe, err := os.Executable()
	if err != nil {
		return script.Launcher{}, errs.New(errs.Internal, "can't find headgate's own program file").Because(err)
	}
	return script.Launcher{Exe: exe, Limits: script.DefaultLimits()}, nil
}
