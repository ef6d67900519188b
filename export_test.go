package mayfly

import "time"

// SetAnswerTime is for tests of a process that does not answer.
func SetAnswerTime(d time.Duration) (before time.Duration) {
	before, answerTime = answerTime, d
	return before
}
