#!/usr/bin/env -S docker build -f
# syntax=docker/dockerfile:1.4 --x
# check=error=true
# escape=`
FROM a
RUN x \
  y
