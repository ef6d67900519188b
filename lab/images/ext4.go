package images

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
)

// Ext4 writes a file system of size bytes with what the directory dir holds to
// the file to, which is made or replaced. Dir may be empty.
func Ext4(ctx context.Context, to string, size int64, dir string) error {
	if err := sparse(to, size); err != nil {
		return err
	}
	argv := mkfs()
	argv[0] = Tool(argv[0])
	if dir != "" {
		argv = append(argv, "-d", dir)
	}
	cmd := exec.CommandContext(ctx, argv[0], append(argv[1:], to)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("lab: %v: %w\n%s", cmd.Args, err, out.Bytes())
	}
	return nil
}

// Tool is the program of that name, also where only root's PATH leads.
func Tool(name string) string {
	if _, err := exec.LookPath(name); err == nil {
		return name
	}
	return "/usr/sbin/" + name
}
