FROM a
ENV NAME the value  with "quotes" $HOME
ENV A=b
ENV A=b C="d e" F=g\ h I='j k' L= M="" N="a\"b"
ENV A=b=c
LABEL a.b=c "d e"=f 'g'=h
LABEL multi="line \
one"
LABEL legacy some text
ARG x
ARG x=1 y "z=a b" w=
ARG
EXPOSE 80 443/tcp	8000-8010/udp $PORT
