package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/backup"
	"github.com/wfrt/wfrt/pebblestore"
)

func (a *app) newStore() *cobra.Command {
	cmd := &cobra.Command{Use: "store", Short: "Check, back up and restore a data directory"}
	dir := ""
	data := func(c *cobra.Command) *cobra.Command {
		c.Flags().StringVar(&dir, "data-dir", "", "the data `folder` (WFRT_DATA_DIR, default ./data)")
		return c
	}
	repair := false
	check := data(&cobra.Command{
		Use:   "check",
		Short: "Check a data directory that no server uses",
		Long: `Compare every row of the store that follows from another with what it follows from, both ways. With --repair the rows that
are missing are written, and those that nothing calls for deleted. Records, histories and events are never changed. It exits with 1
when something is wrong that was not repaired.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.storeCheck(cmd.Context(), dataDir(dir), repair) },
	})
	check.Flags().BoolVar(&repair, "repair", false, "write what is missing and delete what is stray")
	cmd.AddCommand(check,
		data(&cobra.Command{
			Use:   "backup [DIR]",
			Short: "Copy a data directory, also while it is served",
			Long: `Copy the store and the modules of a data directory to a new folder DIR. No server may use it; without DIR the server is asked
instead, and makes the copy in the folder backups of its data directory while it serves.`,
			Example: `  wfrt store backup
  wfrt store backup /backups/monday --data-dir /var/lib/wfrt`,
			Args: cobra.MaximumNArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				if len(args) == 0 {
					return a.storeBackupOnline(cmd.Context())
				}
				return a.storeBackup(dataDir(dir), args[0])
			},
		}),
		data(&cobra.Command{
			Use:   "restore DIR",
			Short: "Make a data directory from a backup",
			Long: `Copy a backup to a data directory that does not exist yet or is empty, and check it. Runs go on from where they were when the
backup was made; what they did outside after that they may do again, under the same idempotency keys.`,
			Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.storeRestore(cmd.Context(), args[0], dataDir(dir))
			},
		}))
	return cmd
}

// dataDir returns the data directory that the flag, else WFRT_DATA_DIR, names.
func dataDir(flag string) string {
	switch env := os.Getenv("WFRT_DATA_DIR"); {
	case flag != "":
		return flag
	case env != "":
		return env
	default:
		return "./data"
	}
}

// storeReport is what `wfrt store check` and `restore` tell programs.
type storeReport struct {
	Records  int            `json:"records"`
	Rows     int            `json:"rows"`
	Count    int            `json:"problem_count"`
	Problems []storeProblem `json:"problems"`
}

type storeProblem struct {
	Shard    int    `json:"shard"`
	Key      string `json:"key"`
	Text     string `json:"text"`
	Repaired bool   `json:"repaired"`
}

func (a *app) storeCheck(ctx context.Context, dir string, repair bool) (err error) {
	store, err := backup.Open(dir)
	if err != nil {
		return explainStore(err, dir)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	check := store.Check
	if repair {
		check = store.Repair
	}
	report, err := check(ctx)
	if err != nil {
		return err
	}
	return a.storeReported(&report, repair)
}

// storeReported prints a report. What is wrong and was not repaired is an error.
func (a *app) storeReported(report *pebblestore.Report, repair bool) error {
	told := storeReport{Records: report.Records, Rows: report.Rows, Count: report.Count, Problems: []storeProblem{}}
	left := report.Count
	for _, p := range report.Problems {
		if p.Repaired {
			left--
		}
		told.Problems = append(told.Problems, storeProblem{int(p.Shard), hex.EncodeToString(p.Key), p.Text, p.Repaired})
	}
	if a.json() {
		if err := a.printJSON(told); err != nil {
			return err
		}
	} else {
		for _, p := range report.Problems {
			done := ""
			if p.Repaired {
				done = " (repaired)"
			}
			a.print("%s%s\n", p, done)
		}
		a.print("%s and %s were checked: %s\n", plural(report.Records, "record"), plural(report.Rows, "other row"), plural(report.Count, "problem"))
	}
	if left == 0 {
		return nil
	}
	hint := "`wfrt store check --repair` mends what follows from other rows"
	if repair {
		hint = "what is left is not made from anything else: restore a backup, or keep a copy of the data directory for a report"
	}
	return &failure{exitFailure, fmt.Errorf("the store has %s", plural(left, "problem")), hint}
}

func (a *app) storeBackup(data, dir string) (err error) {
	store, err := backup.Open(data)
	if err != nil {
		return explainStore(err, data)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := backup.Write(store, data, dir); err != nil {
		return explainStore(err, dir)
	}
	return a.storeBackedUp(dir)
}

func (a *app) storeBackupOnline(ctx context.Context) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	made, err := c.Backup(ctx)
	if err != nil {
		return err
	}
	if !filepath.IsAbs(made.Path) && !a.json() {
		a.note("on the server's machine, in the folder in which the server was started:")
	}
	return a.storeBackedUp(made.Path)
}

func (a *app) storeBackedUp(dir string) error {
	if a.json() {
		return a.printJSON(map[string]string{"path": dir})
	}
	a.print("the backup is in %s\n", dir)
	return nil
}

func (a *app) storeRestore(ctx context.Context, dir, data string) error {
	report, err := backup.Restore(ctx, dir, data)
	if err != nil {
		return explainStore(err, dir)
	}
	if !a.json() {
		a.print("%s is restored\n", data)
	}
	return a.storeReported(&report, false)
}

// explainStore finds the exit code and the hint of what went wrong with a folder.
func explainStore(err error, dir string) error {
	switch {
	case errors.Is(err, pebblestore.ErrInUse):
		return &failure{exitConflict, fmt.Errorf("a server uses the data directory %s", dir), "stop it first; or `wfrt store backup` without a folder asks it for a backup, which can be restored elsewhere and checked"}
	case errors.Is(err, pebblestore.ErrNewer):
		return &failure{exitFailure, err, "run the wfrt that wrote it, or a newer one"}
	case errors.Is(err, pebblestore.ErrNoStore):
		return &failure{exitNotFound, fmt.Errorf("there is no data directory of wfrt in %s", dir), "name it with --data-dir or WFRT_DATA_DIR"}
	case errors.Is(err, backup.ErrNoBackup), errors.Is(err, fs.ErrNotExist):
		return &failure{exitNotFound, err, "name a folder that `wfrt store backup` has made"}
	case errors.Is(err, backup.ErrNotEmpty):
		return &failure{exitConflict, err, "name a folder that does not exist yet, or is empty; nothing was changed"}
	default:
		return err
	}
}
