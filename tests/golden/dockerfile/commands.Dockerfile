from scratch
run ["a", "b c", "\"d\"", "\u00e9\n"]
RUN ['single', 'quotes']
RUN [ -f /x ] && true
RUN ["unfinished", 
CMD []
CMD
ENTRYPOINT ["/bin/app"] # trailing
ENTRYPOINT   [ "x" , "y" ]   
SHELL ["/bin/bash", "-c"]
CMD echo "$HOME"  and   blanks
HEALTHCHECK --interval=5m --timeout=3s CMD curl -f http://localhost/ || exit 1
HEALTHCHECK CMD ["curl", "-f"]
HEALTHCHECK NONE
HEALTHCHECK
VOLUME ["/a b", "/c"]
VOLUME /a /b
STOPSIGNAL SIGTERM
USER  me:group name 
WORKDIR /a b/c
MAINTAINER Jane Doe <jane@example.com>
