#syntax=docker/dockerfile:1
# CHECK = skip=JSONArgsRecommended;error=true  
#	escape	=	\
# other=1
# escape=`
# foo describes

# the argument

#
# name what it is
ARG name
# for FROM
FROM a
