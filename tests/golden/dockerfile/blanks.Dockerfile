  	
FROM	a b
RUN 	tabv  
RUN form feed
RUN a　\ 	
 　
	b
# end