#!/bin/sh
# an unbalanced ) and a line that says
END
true
