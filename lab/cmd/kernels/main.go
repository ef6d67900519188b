// Command kernels brings the lab's kernels into its cache and prints where
// they lie. Without names it brings all.
//
//	go run ./lab/cmd/kernels [-update] [NAME…]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/mayfly-vm/mayfly/lab/kernels"
)

func main() {
	update := flag.Bool("update", false, "check for newer versions than the cached ones")
	flag.Usage = func() {
		fmt.Fprintf(os.Stderr, "usage: kernels [-update] [NAME…]\nnames: %s\n", strings.Join(kernels.All(), " "))
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	names := flag.Args()
	if len(names) == 0 {
		names = kernels.All()
	}
	get := kernels.Get
	if *update {
		get = kernels.Update
	}
	for _, name := range names {
		k, err := get(ctx, name, os.Stderr)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Printf("%-18s %s  (%s)\n", k.Name, k.Dir, k.Key)
	}
}
