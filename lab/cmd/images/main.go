// Command images brings the lab's disk images into its cache and prints where
// they lie.
//
//	go run ./lab/cmd/images [-update] [NAME…]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/mayfly-vm/mayfly/lab/images"
)

func main() {
	update := flag.Bool("update", false, "make them anew, of the packages of today")
	flag.Parse()
	names := flag.Args()
	if len(names) == 0 {
		names = images.All()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	get := images.Get
	if *update {
		get = images.Update
	}
	for _, name := range names {
		i, err := get(ctx, name, os.Stderr)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Printf("%-18s %s\n", i.Name, i.Dir)
	}
}
