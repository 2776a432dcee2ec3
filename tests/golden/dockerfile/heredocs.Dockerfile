FROM a
RUN <<EOF
echo $HOME
# no comment

echo \
EOF
RUN <<-'END OF' cat > /x
	tabs
		more
	END OF
COPY <<one.txt <<"two.txt" c.txt /dest/
first ${x}
one.txt
second ${x}
two.txt
RUN python3 - << EOF
print("<<")
EOF
RUN 3<<A cat <<B
a
A
b
B
RUN echo "<<EOF" '<<EOF' x<<EOF <<<EOF
RUN ["<<EOF"]
USER <<EOF
RUN --mount=type=cache,target=/x <<eo'f'
quoted
eof
RUN <<E\'F
escaped
E'F
RUN <<EMPTY
EMPTY
ONBUILD COPY <<EOF /x
later
EOF
RUN echo "unbalanced <<EOF
ADD <<X /x
X 
 X
X
