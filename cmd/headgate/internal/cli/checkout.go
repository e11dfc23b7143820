package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"headgate/internal/errs"
	"headgate/internal/livestore/bundle"
)

// A checkedOut is the app at another commit, in a directory of its own beside the working tree.
type checkedOut struct {
	dir    string // the app's directory in it
	remove func()
}

// checkout puts the commit ref of the repository that appDir lies in into a temporary worktree, with the packages of
// its own lock file. The working tree is not touched. The caller calls remove.
func (a *app) checkout(ctx context.Context, appDir, ref string) (checkedOut, error) {
	top, err := git(ctx, appDir, "rev-parse", "--show-toplevel")
	if err != nil {
		return checkedOut{}, errs.Invalidf("--git-ref needs a git repository").At("%s", appDir).Because(err).
			Hintf("run it where the app's history is")
	}
	commit, err := git(ctx, appDir, "rev-parse", "--verify", "--end-of-options", ref+"^{commit}")
	if err != nil {
		return checkedOut{}, errs.NotFoundf("no commit %q", ref).At("%s", top).
			Hintf("fetch it first, or name a tag, branch or commit that is here").Then("git tag --list")
	}
	real, err := filepath.EvalSymlinks(appDir)
	if err != nil {
		return checkedOut{}, err
	}
	below, err := filepath.Rel(top, real)
	if err != nil {
		return checkedOut{}, err
	}
	tmp, err := os.MkdirTemp("", "headgate-release-")
	if err != nil {
		return checkedOut{}, errs.New(errs.Internal, "make a directory for the checkout").Because(err)
	}
	tree := filepath.Join(tmp, "tree")
	out := checkedOut{dir: filepath.Join(tree, below), remove: func() {
		// The context may be over already; the worktree must go all the same.
		ctx := context.WithoutCancel(ctx)
		if _, err := git(ctx, appDir, "worktree", "remove", "--force", tree); err != nil {
			a.log.Warn("the temporary worktree is still there", "path", tree, "err", err)
		}
		if err := os.RemoveAll(tmp); err != nil {
			a.log.Warn("a temporary directory is still there", "path", tmp, "err", err)
		}
	}}
	if _, err := git(ctx, appDir, "worktree", "add", "--detach", "--quiet", tree, commit); err != nil {
		out.remove()
		return checkedOut{}, errs.New(errs.Internal, "check out %s", ref).Because(err)
	}
	if err := a.installPackages(ctx, top, tree, out.dir); err != nil {
		out.remove()
		return checkedOut{}, err
	}
	return out, nil
}

// installPackages makes node_modules in the checkout what its lock file says. Where that is the working tree's
// own lock file, the working tree's packages are used.
func (a *app) installPackages(ctx context.Context, top, tree, appDir string) error {
	lock, manager, found := bundle.LockFile(appDir, tree)
	if !found {
		return errs.NotFoundf("no lock file at that commit, so its packages are not known").At("%s", appDir).
			Hintf("headgate needs package-lock.json, pnpm-lock.yaml, yarn.lock or bun.lock beside the app or above it")
	}
	at, err := filepath.Rel(tree, filepath.Dir(lock))
	if err != nil {
		return err
	}
	here := filepath.Join(top, at)
	same := sameFile(lock, filepath.Join(here, filepath.Base(lock)))
	if modules := filepath.Join(here, "node_modules"); same && isDir(modules) {
		if err := os.Symlink(modules, filepath.Join(filepath.Dir(lock), "node_modules")); err == nil {
			a.log.Info("the lock file is the working tree's, so its packages are used")
			return linkNested(top, tree, at)
		}
	}
	fmt.Fprintf(a.stderr, "installing the packages of that commit (%s)…\n", strings.Join(manager, " "))
	cmd := exec.CommandContext(ctx, manager[0], manager[1:]...)
	cmd.Dir = filepath.Dir(lock)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Run(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return errs.NotFoundf("%s is not installed", manager[0]).Hintf("it installs the packages of the old commit; install it, or run headgate where it is")
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		return errs.Invalidf("`%s` failed in the checkout: %s", strings.Join(manager, " "), lines[max(0, len(lines)-3):]).Because(err).
			Hintf("check the commit out by hand, install its packages and run `headgate release add` there")
	}
	return nil
}

// linkNested links the packages of workspaces below the lock file's directory, which have node_modules of their own.
func linkNested(top, tree, at string) error {
	root := filepath.Join(top, at)
	return filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		if d.Name() == ".git" {
			return filepath.SkipDir
		}
		if d.Name() != "node_modules" {
			return nil
		}
		rel, err := filepath.Rel(top, p)
		if err != nil {
			return err
		}
		target := filepath.Join(tree, rel)
		if _, err := os.Lstat(target); err != nil && isDir(filepath.Dir(target)) {
			if err := os.Symlink(p, target); err != nil {
				return errs.New(errs.Internal, "link the packages").Because(err)
			}
		}
		return filepath.SkipDir
	})
}

func sameFile(a, b string) bool {
	x, err := os.ReadFile(a)
	if err != nil {
		return false
	}
	y, err := os.ReadFile(b)
	return err == nil && bytes.Equal(x, y)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
