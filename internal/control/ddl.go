package control

import (
	"context"
	"embed"
	"errors"
	"io/fs"

	"github.com/pressly/goose/v3"

	"headgate/internal/errs"
)

//go:embed ddl
var ddl embed.FS

// versionTable is goose's table. It does not have goose's usual name, which an app's own migrations may use.
const versionTable = "headgate_ddl"

// migrate applies the table definitions that the database does not have yet, and refuses one that has more. Meanwhile no other
// process may do the same: goose asks what there is before its transaction begins, and so two would apply the same definition.
func (db *DB) migrate(ctx context.Context) error {
	dialect := goose.DialectSQLite3
	if db.engine == postgresEngine {
		dialect = goose.DialectPostgres
	}
	files, err := fs.Sub(ddl, "ddl/"+string(db.engine))
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(dialect, db.sql, files, goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return err
	}
	current, known, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > known {
		return errs.Refusedf("a newer headgate has changed the control database: it is at version %d, this one knows %d", current, known).
			At("%s", db.place).Hintf("update this headgate; writing with an older one could damage what the newer one keeps")
	}
	_, err = p.Up(ctx)
	return err
}

// failed makes an error for the user of whatever went wrong while doing something.
func (db *DB) failed(ctx context.Context, doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errs.As(err) != nil:
		return err
	case ctx.Err() != nil: // the engines say in many words that the context ended
		return context.Cause(ctx)
	}
	if e := errors.Join(db.sqliteFailure(doing, err), db.postgresFailure(doing, err)); e != nil {
		return e
	}
	e := errs.New(errs.Internal, "can't %s", doing).At("%s", db.place).Because(err)
	e.Passing = db.Postgres() // the connection ended
	return e
}
