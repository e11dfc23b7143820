package control

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"time"

	"headgate/internal/errs"
)

// An Archive is some files that belong together, by their paths with slashes.
type Archive map[string][]byte

// MaxArchiveBytes is how much the files of an archive may hold together.
const MaxArchiveBytes = 64 << 20

// encode is the archive as JSON, the same for the same files.
func (a Archive) encode() []byte {
	b, err := json.Marshal(a) // sorts the paths
	if err != nil {
		return nil // it holds nothing that can't be written
	}
	return b
}

// Digest is "sha256-" and a hash of the paths and the contents, in hex.
func (a Archive) Digest() string { return digestOf(a.encode()) }

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256-" + hex.EncodeToString(sum[:])
}

// Keep stores an archive under its digest, once however often it is kept: runs share what did not change. One with more
// than [MaxArchiveBytes] is errs.Invalid. [DB.PruneArchives] leaves it alone for a day, in which a run is to refer to it.
func (db *DB) Keep(ctx context.Context, a Archive) (digest string, err error) {
	size := 0
	for path, content := range a {
		if err := named("path", path); err != nil {
			return "", err
		}
		size += len(content)
	}
	if size > MaxArchiveBytes {
		return "", errs.Invalidf("the files have %d MB, and the control database keeps at most %d MB of them together", size>>20, MaxArchiveBytes>>20)
	}
	raw := a.encode()
	digest = digestOf(raw)
	again, err := db.sql.ExecContext(ctx, `UPDATE archives SET created_at = $2 WHERE digest = $1`, digest, millis(db.now()))
	if err != nil {
		return "", db.failed(ctx, "look for the archive", err)
	}
	if n, err := again.RowsAffected(); err != nil || n > 0 {
		return digest, err
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err = z.Write(raw)
	if err := errors.Join(err, z.Close()); err != nil {
		return "", err
	}
	err = db.tx(ctx, "keep the archive", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO archives (digest, data, created_at) VALUES ($1, $2, $3) ON CONFLICT (digest) DO UPDATE SET created_at = excluded.created_at`,
			digest, packed.Bytes(), millis(db.now()))
		return err
	})
	return digest, err
}

// keepNew is how long an archive stays that no run refers to yet.
const keepNew = 24 * time.Hour

// inOptions finds the digests that a run's options name, of whatever they are.
var inOptions = regexp.MustCompile(`sha256-[0-9a-f]{64}`)

// PruneArchives removes the archives that nobody needs any more, and returns how many those were. Needed are those that a
// run names in its options which ended less than keep ago, or is the last one of its migration in its environment: it may
// be retried, and sweeps work with what it keeps. While a run is under way or paused, in any environment, nothing is
// removed.
func (db *DB) PruneArchives(ctx context.Context, keep time.Duration) (removed int, err error) {
	err = db.tx(ctx, "remove old archives", func(tx *sql.Tx) error {
		removed = 0
		var open int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM runs WHERE ended_at = 0`).Scan(&open); err != nil || open > 0 {
			return err
		}
		needed, err := all(ctx, tx, scanText, `SELECT r.options FROM runs r WHERE r.ended_at >= $1 OR NOT EXISTS (
			SELECT 1 FROM runs q WHERE q.env = r.env AND q.migration = r.migration AND (q.created_at, q.id) > (r.created_at, r.id))`, millis(db.now().Add(-keep)))
		if err != nil {
			return err
		}
		stays := map[string]bool{}
		for _, options := range needed {
			for _, digest := range inOptions.FindAllString(options, -1) {
				stays[digest] = true
			}
		}
		before := millis(db.now().Add(-keepNew))
		old, err := all(ctx, tx, scanText, `SELECT digest FROM archives WHERE created_at < $1`, before)
		if err != nil {
			return err
		}
		for _, digest := range old {
			if stays[digest] {
				continue
			}
			// The time again: one that is kept anew meanwhile stays.
			if _, err := tx.ExecContext(ctx, `DELETE FROM archives WHERE digest = $1 AND created_at < $2`, digest, before); err != nil {
				return err
			}
			removed++
		}
		return nil
	})
	return removed, err
}

func scanText(rows *sql.Rows) (s string, err error) {
	err = rows.Scan(&s)
	return s, err
}

// Archive returns what was kept under a digest, or errs.NotFound. What is not what the digest says is errs.Mismatch.
func (db *DB) Archive(ctx context.Context, digest string) (Archive, error) {
	found, err := all(ctx, db.sql, func(rows *sql.Rows) (data []byte, err error) {
		err = rows.Scan(&data)
		return data, err
	}, `SELECT data FROM archives WHERE digest = $1`, digest)
	if err != nil {
		return nil, db.failed(ctx, "read the archive", err)
	}
	if len(found) == 0 {
		return nil, errs.NotFoundf("the control database has no archive %s", digest).At("%s", db.place)
	}
	a, err := decodeArchive(found[0], digest)
	if err != nil {
		return nil, errs.New(errs.Mismatch, "the archive %s is damaged", digest).At("%s", db.place).Because(err).
			Hintf("it was edited outside headgate; a backup of the database has it")
	}
	return a, nil
}

func decodeArchive(data []byte, digest string) (a Archive, err error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(z, 2*MaxArchiveBytes)) // base64 takes a third more, and the paths are short
	if err != nil {
		return nil, err
	}
	if digestOf(raw) != digest {
		return nil, errors.New("its content is not what its name says")
	}
	return a, json.Unmarshal(raw, &a)
}
