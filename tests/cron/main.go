// Reads cron expressions, one a line, and writes for each the seconds of its next ticks after the start of 2026, or "refused".
package main

import (
	"bufio"
	"fmt"
	"os"
	"time"

	"github.com/robfig/cron/v3"
)

const ticks = 6

func main() {
	lines := bufio.NewScanner(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for lines.Scan() {
		schedule, err := cron.ParseStandard(lines.Text())
		if err != nil {
			fmt.Fprintln(out, "refused")
			continue
		}
		at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		for range ticks {
			// It looks five years ahead, and then says that there is none.
			if at = schedule.Next(at); at.IsZero() {
				break
			}
			fmt.Fprint(out, at.Unix(), " ")
		}
		fmt.Fprintln(out)
	}
}
